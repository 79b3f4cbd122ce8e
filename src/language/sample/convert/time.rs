//! Dates (manual 7.3.1): `http_date`, `ltime`, `utime` and their finer kin.

use super::{Convert, bytes_of, row};
use crate::language::context::Context;
use crate::language::logformat::Civil;
use crate::language::parse::Parse;
use crate::language::sample::{Args, Sample, Type};
use std::io::Write;

const FORMAT: &str = "string[,integer]";

pub const ROWS: &[Convert] = &[
    row("http_date", "[integer,string]", Type::Sint, Type::Str, http_date).checked(check_unit),
    row("ltime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1, true)),
    row("utime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1, false)),
    row("ms_ltime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1000, true)),
    row("ms_utime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1000, false)),
    row("us_ltime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1_000_000, true)),
    row("us_utime", FORMAT, Type::Sint, Type::Str, |a, s, cx| formatted(a, s, cx, 1_000_000, false)),
    row("date", "", Type::Str, Type::Sint, |_, s, _| parse_http_date(bytes_of(s)?.as_slice()).map(Sample::Sint)),
];

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn check_unit(args: &mut Args, _: &mut Parse<'_>) -> Result<(), String> {
    match args.str(1) {
        None | Some(b"" | b"s" | b"ms" | b"us") => Ok(()),
        Some(_) => Err("expects \"s\", \"ms\" or \"us\" for the time unit argument".into()),
    }
}

/// `http_date([offset[,unit]])`: seconds as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date<'c>(args: &'c Args, sample: Sample<'c>, cx: &'c Context<'_>) -> Option<Sample<'c>> {
    let n = sample.to_sint()?.saturating_add(args.int(0).unwrap_or(0));
    let seconds = match args.str(1) {
        Some(b"ms") => n / 1000,
        Some(b"us") => n / 1_000_000,
        _ => n,
    };
    let c = civil(seconds)?;
    let mut out = cx.buf();
    write!(
        out,
        "{}, {:02} {} {:04} {:02}:{:02}:{:02}",
        DAYS[c.weekday as usize],
        c.day,
        MONTHS[c.month as usize - 1],
        c.year,
        c.hour,
        c.minute,
        c.second
    )
    .ok()?;
    // HAProxy writes the fraction as a plain number, without leading zeros.
    match args.str(1) {
        Some(b"ms") => write!(out, ".{}", n.rem_euclid(1000)).ok()?,
        Some(b"us") => write!(out, ".{}", n.rem_euclid(1_000_000)).ok()?,
        _ => {}
    }
    out.extend_from_slice(b" GMT");
    Some(Sample::str_buf(out))
}

/// Dates that the calendar's arithmetic holds.
fn civil(seconds: i64) -> Option<Civil> {
    (-60_000_000_000..=250_000_000_000).contains(&seconds).then(|| Civil::new(seconds))
}

/// strftime(3), and `%N` for the fraction as nanoseconds.
fn formatted<'c>(
    args: &'c Args,
    sample: Sample<'c>,
    cx: &'c Context<'_>,
    unit: i64,
    local: bool,
) -> Option<Sample<'c>> {
    let n = sample.to_sint()?;
    let mut seconds = n.div_euclid(unit).saturating_add(args.int(1).unwrap_or(0));
    let fraction = n.rem_euclid(unit);
    let offset = if local { cx.world.utc_offset(seconds.max(0) as u64) } else { 0 };
    seconds = seconds.saturating_add(offset as i64);
    let c = civil(seconds)?;
    let mut out = cx.buf();
    let mut format = args.str(0)?.iter().copied();
    while let Some(b) = format.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let Some(kind) = format.next() else { break };
        match (kind, unit) {
            (b'N', 1000) => write!(out, "{fraction:03}000000").ok()?,
            (b'N', 1_000_000) => write!(out, "{fraction:06}000").ok()?,
            _ => directive(kind, &c, seconds - offset as i64, offset, &mut out)?,
        }
    }
    Some(Sample::str_buf(out))
}

/// One directive of strftime(3) in the C locale.
fn directive(kind: u8, c: &Civil, epoch: i64, offset: i32, out: &mut Vec<u8>) -> Option<()> {
    let (weekday, month) = (c.weekday as usize, c.month as usize - 1);
    let year_day = Civil::day_of_year(c);
    let hour12 = (c.hour + 11) % 12 + 1;
    let half = if c.hour < 12 { "AM" } else { "PM" };
    let many = |format: &[u8], out: &mut Vec<u8>| -> Option<()> {
        for k in format {
            match k {
                k if k.is_ascii_alphabetic() => directive(*k, c, epoch, offset, out)?,
                other => out.push(*other),
            }
        }
        Some(())
    };
    match kind {
        b'a' => write!(out, "{}", DAYS[weekday]),
        b'A' => write!(out, "{}", LONG_DAYS[weekday]),
        b'b' | b'h' => write!(out, "{}", MONTHS[month]),
        b'B' => write!(out, "{}", LONG_MONTHS[month]),
        b'C' => write!(out, "{:02}", c.year / 100),
        b'd' => write!(out, "{:02}", c.day),
        b'e' => write!(out, "{:2}", c.day),
        b'H' => write!(out, "{:02}", c.hour),
        b'I' => write!(out, "{hour12:02}"),
        b'j' => write!(out, "{:03}", year_day + 1),
        b'k' => write!(out, "{:2}", c.hour),
        b'l' => write!(out, "{hour12:2}"),
        b'm' => write!(out, "{:02}", c.month),
        b'M' => write!(out, "{:02}", c.minute),
        b'n' => {
            out.push(b'\n');
            return Some(());
        }
        b'p' => write!(out, "{half}"),
        b'P' => write!(out, "{}", half.to_ascii_lowercase()),
        b's' => write!(out, "{epoch}"),
        b'S' => write!(out, "{:02}", c.second),
        b't' => write!(out, "\t"),
        b'u' => write!(out, "{}", if weekday == 0 { 7 } else { weekday }),
        b'U' => write!(out, "{:02}", (year_day + 7 - weekday as i64) / 7),
        b'w' => write!(out, "{weekday}"),
        b'W' => write!(out, "{:02}", (year_day + 7 - (weekday as i64 + 6) % 7) / 7),
        b'y' => write!(out, "{:02}", c.year.rem_euclid(100)),
        b'Y' => write!(out, "{}", c.year),
        b'z' => {
            let minutes = offset.abs() / 60;
            write!(out, "{}{:02}{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
        }
        b'Z' => write!(out, "{}", if offset == 0 { "GMT" } else { "" }),
        b'%' => write!(out, "%"),
        b'c' => return many(b"a b e H:M:S Y", out),
        b'D' | b'x' => return many(b"m/d/y", out),
        b'F' => return many(b"Y-m-d", out),
        b'r' => return many(b"I:M:S p", out),
        b'R' => return many(b"H:M", out),
        b'T' | b'X' => return many(b"H:M:S", out),
        other => {
            out.push(b'%');
            out.push(other);
            return Some(());
        }
    }
    .ok()
}

/// A date of RFC 9110 §5.6.7, in its preferred form.
fn parse_http_date(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split([' ', ':', '-']);
    let day: i64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|m| *m == name)? as i64 + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let (hour, minute, second): (i64, i64, i64) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Civil::days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}
