//! What goes around a log line on its way to a syslog server: the formats of HAProxy's `log … format` (manual 4.2 "log"),
//! after RFC 3164 and RFC 5424. Delivery is elsewhere.

use crate::proto::http::date::{Format as DateFormat, Stamp};
use crate::proto::http::push_decimal;

/// `format` of a `log` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// RFC 3164 without host name: the default.
    #[default]
    Local,
    Rfc3164,
    Rfc5424,
    /// `<facility and level>`
    Priority,
    /// `<level>`
    Short,
    /// `<level>` and date
    Timed,
    /// Date only
    Iso,
    Raw,
}

impl Format {
    /// The format that configuration calls so.
    pub fn from_name(name: &str) -> Option<Format> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, format)| *format)
    }
}

const NAMES: [(&str, Format); 8] = [
    ("local", Format::Local),
    ("rfc3164", Format::Rfc3164),
    ("rfc5424", Format::Rfc5424),
    ("priority", Format::Priority),
    ("short", Format::Short),
    ("timed", Format::Timed),
    ("iso", Format::Iso),
    ("raw", Format::Raw),
];

/// Facilities by number.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2", "ftp", "ntp",
    "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Levels by number; the lower, the graver.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The number of a facility.
pub fn facility(name: &str) -> Option<u8> {
    FACILITIES.iter().position(|f| *f == name).map(|n| n as u8)
}

/// The number of a level.
pub fn level(name: &str) -> Option<u8> {
    LEVELS.iter().position(|l| *l == name).map(|n| n as u8)
}

/// What a line is sent as.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    pub format: Format,
    /// 0 to 23
    pub facility: u8,
    /// 0 to 7
    pub level: u8,
    /// `log-send-hostname`
    pub hostname: Option<&'a [u8]>,
    /// `log-tag`
    pub tag: &'a [u8],
    pub pid: u32,
    /// `log-format-sd`, rendered: RFC 5424's structured data. Empty: none.
    pub structured_data: &'a [u8],
    /// Most bytes of the whole, newline included (`len`).
    pub len_max: usize,
}

/// Frames lines; keeps the dates of the current second.
#[derive(Clone, Debug)]
pub struct Framer {
    syslog: Stamp,
    iso: Stamp,
}

impl Default for Framer {
    fn default() -> Self {
        Framer::new()
    }
}

impl Framer {
    pub fn new() -> Framer {
        Framer { syslog: Stamp::new(DateFormat::Syslog), iso: Stamp::new(DateFormat::Iso) }
    }

    /// Appends `line` with what goes before it and a newline. `wall_us`: microseconds since 1970; `offset_s`: seconds
    /// that local time is ahead of UTC. A line that is too long is cut, its newline stays.
    pub fn frame(&mut self, header: &Header<'_>, wall_us: u64, offset_s: i32, line: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let priority = u64::from(header.facility) * 8 + u64::from(header.level);
        match header.format {
            Format::Local | Format::Rfc3164 => {
                push_angle(out, priority);
                self.syslog.write(wall_us, offset_s, out);
                out.push(b' ');
                match (header.hostname, header.format) {
                    (Some(name), _) => push_word(out, name),
                    (None, Format::Rfc3164) => push_word(out, b"localhost"),
                    _ => {}
                }
                out.extend_from_slice(header.tag);
                out.push(b'[');
                push_decimal(out, u64::from(header.pid));
                out.extend_from_slice(b"]: ");
            }
            Format::Rfc5424 => {
                push_angle(out, priority);
                out.extend_from_slice(b"1 ");
                self.iso.write(wall_us, offset_s, out);
                out.push(b' ');
                push_word(out, header.hostname.unwrap_or(b"-"));
                push_word(out, if header.tag.is_empty() { b"-" } else { header.tag });
                push_decimal(out, u64::from(header.pid));
                out.extend_from_slice(b" - ");
                push_word(out, if header.structured_data.is_empty() { b"-" } else { header.structured_data });
            }
            Format::Priority => push_angle(out, priority),
            Format::Short => push_angle(out, u64::from(header.level)),
            Format::Timed => {
                push_angle(out, u64::from(header.level));
                self.iso.write(wall_us, offset_s, out);
                out.push(b' ');
            }
            Format::Iso => {
                self.iso.write(wall_us, offset_s, out);
                out.push(b' ');
            }
            Format::Raw => {}
        }
        out.extend_from_slice(line);
        out.truncate(start + header.len_max.saturating_sub(1));
        out.push(b'\n');
    }
}

fn push_angle(out: &mut Vec<u8>, number: u64) {
    out.push(b'<');
    push_decimal(out, number);
    out.push(b'>');
}

fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(word);
    out.push(b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(format: Format, hostname: Option<&[u8]>, structured_data: &[u8], len_max: usize) -> String {
        let header = Header {
            format,
            facility: facility("local0").unwrap(),
            level: level("info").unwrap(),
            hostname,
            tag: b"haproxy",
            pid: 18388,
            structured_data,
            len_max,
        };
        let mut out = Vec::new();
        Framer::new().frame(&header, 1_795_657_294_524_060, 19_800, b"msg \"q", &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_as_haproxy_writes_it() {
        for (name, expected) in [
            ("local", "<134>Nov 26 07:11:34 haproxy[18388]: msg \"q\n"),
            ("rfc3164", "<134>Nov 26 07:11:34 localhost haproxy[18388]: msg \"q\n"),
            ("rfc5424", "<134>1 2026-11-26T07:11:34.524060+05:30 - haproxy 18388 - - msg \"q\n"),
            ("priority", "<134>msg \"q\n"),
            ("short", "<6>msg \"q\n"),
            ("timed", "<6>2026-11-26T07:11:34.524060+05:30 msg \"q\n"),
            ("iso", "2026-11-26T07:11:34.524060+05:30 msg \"q\n"),
            ("raw", "msg \"q\n"),
        ] {
            let format = Format::from_name(name).unwrap();
            assert_eq!(framed(format, None, b"", 1024), expected);
        }
        assert_eq!(framed(Format::Local, Some(b"vm"), b"", 99), "<134>Nov 26 07:11:34 vm haproxy[18388]: msg \"q\n");
        assert!(
            framed(Format::Rfc5424, Some(b"vm"), b"[a@1 b=\"c\"]", 99).contains("+05:30 vm haproxy 18388 - [a@1 ")
        );
        assert_eq!(Format::from_name("rfc"), None);
    }

    #[test]
    fn a_long_line_is_cut_and_keeps_its_newline() {
        assert_eq!(framed(Format::Raw, None, b"", 4), "msg\n");
        assert_eq!(framed(Format::Raw, None, b"", 7), "msg \"q\n");
    }
}
