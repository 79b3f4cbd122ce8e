//! Converters of text: case, parts, joining, trimming, comparing (manual 7.3.1).

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::parse::Parse;
use crate::language::regex::{Regex, Replacement};
use crate::language::sample::args::RegexFlags;
use crate::language::sample::fetch::{check_var, parameter};
use crate::language::sample::{Arg, Args, Probe, Sample, Type};
use crate::language::vars::VarName;
use std::sync::Arc;

pub const ROWS: &[Convert] = &[
    row("lower", "", Type::Str, Type::Str, |_, s, cx| {
        let mut b = bytes_of(s)?.into_buf(cx.pool);
        b.make_ascii_lowercase();
        Some(Sample::str_buf(b))
    }),
    row("upper", "", Type::Str, Type::Str, |_, s, cx| {
        let mut b = bytes_of(s)?.into_buf(cx.pool);
        b.make_ascii_uppercase();
        Some(Sample::str_buf(b))
    }),
    row("length", "", Type::Str, Type::Sint, |_, s, _| Some(Sample::Sint(bytes_of(s)?.as_slice().len() as i64))),
    row("reverse", "", Type::Str, Type::Str, |_, s, cx| {
        let mut b = bytes_of(s)?.into_buf(cx.pool);
        b.reverse();
        Some(Sample::str_buf(b))
    }),
    row("reverse_dom", "", Type::Str, Type::Str, reverse_dom),
    row("cut_crlf", "", Type::Str, Type::Str, |_, s, _| {
        let b = bytes_of(s)?;
        let end = b.as_slice().iter().position(|c| matches!(c, b'\r' | b'\n')).unwrap_or(usize::MAX);
        Some(Sample::Str(b.slice(0, end)))
    }),
    row("ltrim", "string", Type::Str, Type::Str, |a, s, _| {
        let (b, set) = (bytes_of(s)?, a.str(0)?);
        let from = b.as_slice().iter().position(|c| !set.contains(c)).unwrap_or(usize::MAX);
        Some(Sample::Str(b.slice(from, usize::MAX)))
    }),
    row("rtrim", "string", Type::Str, Type::Str, |a, s, _| {
        let (b, set) = (bytes_of(s)?, a.str(0)?);
        let to = b.as_slice().iter().rposition(|c| !set.contains(c)).map_or(0, |i| i + 1);
        Some(Sample::Str(b.slice(0, to)))
    }),
    row("bytes", "string[,string]", Type::Bin, Type::Bin, bytes).checked(check_bytes),
    row("field", "integer,string[,integer]", Type::Str, Type::Str, field).checked(check_index),
    row("word", "integer,string[,integer]", Type::Str, Type::Str, word).checked(check_index),
    row("concat", "string[,string,string]", Type::Str, Type::Str, concat).checked(check_concat),
    row("add_item", "string,string[,string]", Type::Str, Type::Str, add_item).checked(check_concat),
    row("strcmp", "string", Type::Str, Type::Sint, strcmp).checked(check_var),
    row("regsub", "regex,string[,string]", Type::Str, Type::Str, regsub).checked(check_regsub),
    row("param", "string[,string]", Type::Str, Type::Str, param),
    row("host_only", "", Type::Str, Type::Str, |_, s, cx| {
        let b = bytes_of(s)?;
        let mut host = b.into_buf(cx.pool);
        let end = host_len(&host);
        host.truncate(end);
        host.make_ascii_lowercase();
        Some(Sample::str_buf(host))
    }),
    row("port_only", "", Type::Str, Type::Sint, |_, s, _| {
        let b = bytes_of(s)?;
        let text = b.as_slice();
        let port = text.get(host_len(text) + 1..).unwrap_or_default();
        // Every byte counts as a digit (observed).
        let digits = port.iter().map(|b| u32::from(*b).wrapping_sub(u32::from(b'0')));
        Some(Sample::Sint(digits.fold(0u32, |n, digit| n.wrapping_mul(10).wrapping_add(digit)).into()))
    }),
    row("language", "string[,string]", Type::Str, Type::Str, language),
];

/// Length of the host before the last `:`, which is the port's; brackets of IPv6 stay.
fn host_len(text: &[u8]) -> usize {
    let from = memchr::memrchr(b']', text).map_or(0, |i| i + 1);
    memchr::memrchr(b':', &text[from..]).map_or(text.len(), |i| from + i)
}

/// `www.example.com` becomes `com.example.www`.
fn reverse_dom<'c>(_: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let b = bytes_of(s)?;
    let text = b.as_slice();
    let mut out = cx.buf();
    let body = text.strip_suffix(b".").unwrap_or(text);
    for (i, label) in body.rsplit(|c| *c == b'.').enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(label);
    }
    Some(Sample::str_buf(out))
}

fn check_bytes(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    for i in 0..args.len() {
        let Some(text) = args.text(i).filter(|t| !t.is_empty()) else { continue };
        let arg = match text.parse::<i64>() {
            Ok(n) if n > 0 || (i == 0 && n == 0) => Arg::Int(n),
            Ok(_) => return Err("expects a positive integer".into()),
            Err(_) => Arg::Var(Arc::new(VarName::parse(text)?)),
        };
        args.put(i, arg);
    }
    Ok(())
}

fn number(args: &Args, i: usize, cx: &Context<'_>) -> Option<i64> {
    match args.get(i) {
        Arg::Int(n) => Some(*n),
        Arg::Var(name) => cx.vars.get(name, cx.pool)?.to_sint(),
        _ => None,
    }
}

/// `bytes(offset[,length])`: nothing when the offset is past the end.
fn bytes<'c>(args: &'c Args, s: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let from = usize::try_from(number(args, 0, cx)?).ok()?;
    let b = bytes_of(s)?;
    let len = b.as_slice().len();
    if len <= from {
        return Some(Sample::Bin(b.slice(0, 0)));
    }
    let to = match args.get(1) {
        Arg::None | Arg::Str(_) => len,
        _ => from.saturating_add(usize::try_from(number(args, 1, cx)?).ok()?),
    };
    Some(Sample::Bin(b.slice(from, to)))
}

fn check_index(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.int(0) {
        Some(0) => Err("Unexpected value 0 for index".into()),
        _ => Ok(()),
    }
}

/// `field(index,delimiters[,count])`: parts between delimiters, which may be empty; negative numbers count from the
/// end, a count of 0 takes all that is left.
fn field<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let (index, delimiters) = (args.int(0)?, args.str(1)?);
    let bytes = bytes_of(sample)?;
    let (from, to) = part(bytes.as_slice(), index, args.int(2).unwrap_or(1), &|b| delimiters.contains(&b))?;
    Some(Sample::Str(bytes.slice(from, to)))
}

/// Range of `count` parts from part `index` on.
fn part(text: &[u8], index: i64, count: i64, is_delimiter: &dyn Fn(u8) -> bool) -> Option<(usize, usize)> {
    let backwards = index < 0;
    let wanted = index.unsigned_abs() as usize;
    let mut number = 1;
    let (mut from, mut to) = (0, text.len());
    let mut found = wanted == 1;
    let mut left = count;
    let at = |i: usize| if backwards { text.len() - 1 - i } else { i };
    for i in 0..text.len() {
        let here = at(i);
        if !is_delimiter(text[here]) {
            continue;
        }
        if number >= wanted {
            left -= 1;
            if left == 0 {
                if backwards {
                    from = here + 1
                } else {
                    to = here
                }
                return (found && from <= to).then_some((from, to));
            }
        }
        number += 1;
        if number == wanted {
            found = true;
            if backwards { to = here } else { from = here + 1 }
        }
    }
    // A part that is not there is empty text, not an absent sample.
    if !found || wanted == 0 {
        return Some((0, 0));
    }
    Some((from, to))
}

/// `word(index,delimiters[,count])`: as `field`, but runs of delimiters count once and those around do not count.
fn word<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let (index, delimiters) = (args.int(0)?, args.str(1)?);
    let bytes = bytes_of(sample)?;
    let text = bytes.as_slice();
    let count = args.int(2).unwrap_or(1);
    let mut starts = WordSpans { text, delimiters, at: 0 };
    let backwards = index < 0;
    let wanted = index.unsigned_abs() as usize;
    let total = WordSpans { text, delimiters, at: 0 }.count();
    if wanted == 0 || wanted > total {
        return Some(Sample::Str(bytes.slice(0, 0)));
    }
    // A count of 0 takes all that is left, the delimiters around included.
    if count == 0 {
        let (from, to) = starts.nth(if backwards { total - wanted } else { wanted - 1 })?;
        return Some(Sample::Str(if backwards { bytes.slice(0, to) } else { bytes.slice(from, usize::MAX) }));
    }
    let last = (wanted - 1).saturating_add(count as usize - 1).min(total - 1);
    let (first, last) = if backwards { (total - 1 - last, total - wanted) } else { (wanted - 1, last) };
    let from = starts.nth(first)?.0;
    let to = match last - first {
        0 => WordSpans { text, delimiters, at: 0 }.nth(first)?.1,
        n => starts.nth(n - 1)?.1,
    };
    Some(Sample::Str(bytes.slice(from, to)))
}

/// Ranges of words.
struct WordSpans<'t> {
    text: &'t [u8],
    delimiters: &'t [u8],
    at: usize,
}

impl Iterator for WordSpans<'_> {
    type Item = (usize, usize);
    fn next(&mut self) -> Option<(usize, usize)> {
        let is_delimiter = |b: &u8| self.delimiters.contains(b);
        let from = self.at + self.text[self.at..].iter().position(|b| !is_delimiter(b))?;
        let to = self.text[from..].iter().position(is_delimiter).map_or(self.text.len(), |i| from + i);
        self.at = to;
        Some((from, to))
    }
}

/// The second argument names a variable; it may be left empty.
fn check_concat(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.text(1).filter(|n| !n.is_empty()) {
        Some(name) => {
            let var = VarName::parse(name).map_err(|_| format!("failed to register variable '{name}'"))?;
            args.put(1, Arg::Var(Arc::new(var)));
        }
        None if args.len() > 1 => args.put(1, Arg::None),
        None => {}
    }
    Ok(())
}

fn push_var(args: &Args, cx: &Context<'_>, out: &mut Vec<u8>) -> bool {
    let Arg::Var(name) = args.get(1) else { return false };
    match cx.vars.get(name, cx.pool) {
        Some(value) => {
            value.write_text(out);
            true
        }
        None => false,
    }
}

/// `concat(start[,var[,end]])`: appends a string, a variable and a string.
fn concat<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = bytes_of(sample)?.into_buf(cx.pool);
    out.extend_from_slice(args.str(0).unwrap_or_default());
    push_var(args, cx, &mut out);
    out.extend_from_slice(args.str(2).unwrap_or_default());
    Some(Sample::str_buf(out))
}

/// `add_item(delimiter,var[,suffix])`: appends an item, with the delimiter before it unless it is the first.
fn add_item<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let mut out = bytes_of(sample)?.into_buf(cx.pool);
    let mut item = cx.buf();
    let has_var = push_var(args, cx, &mut item);
    let suffix = args.str(2).unwrap_or_default();
    if has_var || !suffix.is_empty() {
        if !out.is_empty() {
            out.extend_from_slice(args.str(0).unwrap_or_default());
        }
        out.extend_from_slice(&item);
        out.extend_from_slice(suffix);
    }
    Some(Sample::str_buf(out))
}

/// Compares with a variable: below zero, zero or above.
fn strcmp<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let Arg::Var(name) = args.get(0) else { return None };
    let other = cx.vars.get(name, cx.pool)?.into_str(cx.pool);
    let bytes = bytes_of(sample)?;
    let (a, b) = (bytes.as_slice(), other.as_slice());
    let shared = a.len().min(b.len());
    let difference = a[..shared].iter().zip(&b[..shared]).find(|(x, y)| x != y).map(|(x, y)| *x as i64 - *y as i64);
    Some(Sample::Sint(difference.unwrap_or((a.len() as i64 - b.len() as i64).signum())))
}

fn check_regsub(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    let flags = args.text(2).unwrap_or_default();
    if let Some(c) = flags.chars().find(|c| !matches!(c, 'i' | 'g')) {
        return Err(format!("invalid regex flag '{c}', only 'i' and 'g' are supported"));
    }
    let (ignore_case, global) = (flags.contains('i'), flags.contains('g'));
    let regex = Regex::new(args.text(0).unwrap_or_default(), ignore_case)?;
    let replacement = Replacement::parse(args.str(1).unwrap_or_default())?;
    args.put(0, Arg::Regex(Arc::new(regex), RegexFlags { global }));
    args.put(1, Arg::Replacement(Arc::new(replacement)));
    Ok(())
}

fn regsub<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let (Arg::Regex(regex, flags), Arg::Replacement(with)) = (args.get(0), args.get(1)) else { return None };
    let bytes = bytes_of(sample)?;
    let mut out = cx.buf();
    match regex.replace(bytes.as_slice(), with, flags.global, cx.pool.value_max(), &mut out) {
        true => Some(Sample::str_buf(out)),
        false => Some(Sample::Str(bytes)),
    }
}

/// `param(name[,delimiter])`: a parameter of a query string.
fn param<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(sample)?;
    let delimiter = args.str(1).and_then(|d| d.first().copied()).unwrap_or(b'&');
    let found = parameter(bytes.as_slice(), args.str(0), delimiter, false, &mut Probe::default());
    let range = found.map(|v| {
        let from = v.as_ptr() as usize - bytes.as_slice().as_ptr() as usize;
        (from, from + v.len())
    });
    let (from, to) = range.unwrap_or((0, 0));
    Some(Sample::Str(bytes.slice(from, to)))
}

/// `language(list[,default])`: the best of the listed languages for an `Accept-Language` value.
fn language<'c>(args: &'c Args, sample: Sample<'c>, _: &'c Context<'_>) -> Option<Sample<'c>> {
    let bytes = bytes_of(sample)?;
    let mut best: Option<(u32, &'c [u8])> = None;
    for item in bytes.as_slice().split(|b| *b == b',') {
        let mut parts = item.split(|b| *b == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let weight = parts.find_map(|p| p.trim_ascii().strip_prefix(b"q=").map(thousandths)).unwrap_or(1000);
        let listed = args.str(0)?.split(|b| *b == b';').find(|l| l.eq_ignore_ascii_case(name));
        if let Some(listed) = listed
            && best.is_none_or(|(w, _)| weight > w)
        {
            best = Some((weight, listed));
        }
    }
    best.map(|(_, l)| l).or_else(|| args.str(1)).map(Sample::str)
}

/// `0.8` as 800.
fn thousandths(text: &[u8]) -> u32 {
    let value = std::str::from_utf8(text).ok().and_then(|t| t.trim().parse::<f32>().ok()).unwrap_or(0.0);
    (value.clamp(0.0, 1.0) * 1000.0) as u32
}
