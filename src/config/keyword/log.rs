//! `log` lines of `global` and proxies (manual 3.1, 4.2 "log", 8): where lines go, how they are framed, which are sent.

use super::{
    address,
    args::{Args, Fault, atol},
};
use crate::{
    config::section::{Loading, Section},
    model::logging::{LogSample, LogSink, LogTarget},
    proto::syslog::{self, Format},
};

const LENGTHS: std::ops::RangeInclusive<i64> = 80..=65535;
const LENGTH_DEFAULT: usize = 1024;
/// What begins the address of a stream: a ring of its own sends there.
const STREAMS: [&str; 4] = ["tcp@", "tcp4@", "tcp6@", "uxst@"];

/// `log` in `global`.
pub fn global(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if cx.prefix != super::Prefix::None {
        none(a)?;
        cx.global.log_targets.clear();
        return Ok(());
    }
    if a.get(1) == "global" {
        return Err(a.fault(1, "log : 'global' is not supported for a global syslog server"));
    }
    let target = target(cx, a, "log : expects <address> and <facility>  as arguments")?;
    cx.global.log_targets.extend(target);
    Ok(())
}

/// `log` in a proxy.
pub fn proxy(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    if cx.prefix != super::Prefix::None {
        none(a)?;
        let draft = cx.draft();
        draft.proxy.log.targets.clear();
        draft.log_global = false;
        return Ok(());
    }
    if a.get(1) == "global" && a.get(2).is_empty() {
        cx.draft().log_global = true;
        return Ok(());
    }
    let target = target(cx, a, "log : expects <address> and <facility> or global as arguments")?;
    cx.draft().proxy.log.targets.extend(target);
    Ok(())
}

/// `log` of a section that has no `global` to refer to.
pub fn section(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<Vec<LogTarget>, Fault> {
    if a.get(1) == "global" && a.get(2).is_empty() {
        return Ok(cx.global.log_targets.clone());
    }
    Ok(target(cx, a, "log : expects <address> and <facility> or global as arguments")?.into_iter().collect())
}

fn none(a: &Args<'_>) -> Result<(), Fault> {
    if a.get(1).is_empty() { Ok(()) } else { Err(a.fault(1, "log : 'no log' does not expect arguments")) }
}

/// One target; `None` for a sink that is refused with a message of its own.
fn target(cx: &mut Loading<'_>, a: &Args<'_>, missing: &str) -> Result<Option<LogTarget>, Fault> {
    let (word, mut at) = (a.get(1), 2);
    if word.is_empty() || a.get(2).is_empty() {
        return Err(a.fault(1, missing));
    }
    let mut target = LogTarget {
        sink: LogSink::Stdout,
        // Descriptors have no frame of their own; HAProxy's default for them is the same line.
        format: Format::Local,
        facility: 0,
        max_level: 7,
        min_level: 0,
        length_max: LENGTH_DEFAULT,
        sample: None,
    };
    if word != "global" {
        target.sink = sink(cx, a, word)?;
        loop {
            let value = a.get(at + 1);
            match a.get(at) {
                "len" => match atol(value) {
                    n if LENGTHS.contains(&n) => target.length_max = n as usize,
                    _ => {
                        let text = format!("log : invalid log length '{value}', must be between 80 and 65535");
                        return Err(a.fault(at + 1, text));
                    }
                },
                "format" => target.format = framing(a, at + 1)?,
                "sample" => target.sample = Some(sample(a, at + 1)?),
                "profile" => {
                    return Err(a.fault(at, super::absent::text("profile")));
                }
                _ => break,
            }
            at += 2;
        }
    }
    let facility = a.get(at);
    target.facility =
        syslog::facility(facility).ok_or_else(|| a.fault(at, format!("log : unknown log facility '{facility}'")))?;
    if let Some(number) = level(a, at + 1, "optional log level")? {
        target.max_level = number;
        if let Some(number) = level(a, at + 2, "optional minimum log level")? {
            target.min_level = number;
            if !a.get(at + 3).is_empty() {
                let text = format!("log : cannot handle unexpected argument '{}'", a.get(at + 3));
                return Err(a.fault(at + 3, text));
            }
        }
    }
    if let LogSink::Ring(ring) = target.sink {
        cx.rings.set_implicit_format(ring, target.format);
    }
    if word == "global" {
        return Err(a.fault(2, super::absent::text("log global <facility>")));
    }
    Ok(Some(target))
}

fn level(a: &Args<'_>, at: usize, what: &str) -> Result<Option<u8>, Fault> {
    match a.get(at) {
        "" => Ok(None),
        word => match syslog::level(word) {
            None => Err(a.fault(at, format!("log : unknown {what} '{word}'"))),
            number => Ok(number),
        },
    }
}

fn framing(a: &Args<'_>, at: usize) -> Result<Format, Fault> {
    let word = a.get(at);
    Format::from_name(word).ok_or_else(|| a.fault(at, format!("log : unknown log format '{word}'")))
}

/// `<range>[,<range>...]:<size>`.
fn sample(a: &Args<'_>, at: usize) -> Result<LogSample, Fault> {
    let word = a.get(at);
    let Some((ranges, size_word)) = word.split_once(':') else {
        return Err(a.fault(at, "log : Missing sample size"));
    };
    let size = size_word.parse::<u32>().ok().filter(|&n| n > 0);
    let Some(size) = size else {
        let text = format!("log : wrong sample size '{size_word}' for sample range '{ranges}'");
        return Err(a.fault(at, text));
    };
    let mut list = Vec::new();
    for range in ranges.split(',') {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let parsed = low.parse::<u32>().ok().zip(high.parse::<u32>().ok());
        let Some((low, high)) = parsed.filter(|&(low, high)| low >= 1 && low <= high) else {
            return Err(a.fault(at, format!("log : wrong sample range '{range}'")));
        };
        list.push((low, high));
    }
    list.sort_unstable();
    if list.windows(2).any(|w| w[1].0 <= w[0].1) {
        return Err(a.fault(at, "log : ranges are overlapping"));
    }
    let high = list.last().map_or(0, |r| r.1);
    if high > size {
        let text = format!(
            "log : sample size {size} should be greater or equal to {high} the maximum of the high ranges limits"
        );
        return Err(a.fault(at, text));
    }
    Ok(LogSample { ranges: list, size })
}

fn sink(cx: &mut Loading<'_>, a: &Args<'_>, word: &str) -> Result<LogSink, Fault> {
    match word {
        "stdout" => return Ok(LogSink::Stdout),
        "stderr" => return Ok(LogSink::Stderr),
        _ => {}
    }
    if let Some(name) = word.strip_prefix("ring@") {
        let owner = match cx.section {
            Section::Global => String::new(),
            Section::Peers(index) => format!("peers section '{}'", cx.peers[index].name),
            _ => format!("proxy section '{}'", cx.draft().proxy.name),
        };
        return Ok(LogSink::Ring(cx.rings.named(name, owner, a.origin())));
    }
    if word.starts_with("backend@") {
        return Err(a.fault(1, super::absent::text("log backend@")));
    }
    if STREAMS.iter().any(|prefix| word.starts_with(prefix)) {
        let to = address::log_stream(word, cx.environment).map_err(|text| a.fault(1, format!("log : {text}")))?;
        return Ok(LogSink::Ring(cx.rings.implicit(word, to, a.origin())));
    }
    match address::log(word, cx.environment) {
        Ok(crate::base::address::Address::Inherited(fd)) => Ok(LogSink::Fd(fd)),
        Ok(address) => Ok(LogSink::Datagram(address)),
        Err(text) => Err(a.fault(1, format!("log : {text}"))),
    }
}
