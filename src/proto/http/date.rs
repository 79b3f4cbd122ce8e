//! Dates as HTTP (RFC 9110 §5.6.7), HAProxy's logs (manual 8.2) and syslog (RFC 3164, RFC 5424) write them, from
//! microseconds since 1970 and the local zone's distance from UTC. Who knows the zone is elsewhere.

/// A moment, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: u32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub micros: u32,
    /// 0 is Sunday.
    pub weekday: u8,
}

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
const WEEKDAYS: &[u8; 21] = b"SunMonTueWedThuFriSat";

impl Civil {
    /// `wall_us`: microseconds since 1970, UTC. `offset_s`: seconds that local time is ahead of UTC.
    pub fn at(wall_us: u64, offset_s: i32) -> Civil {
        let seconds = (wall_us / 1_000_000).saturating_add_signed(i64::from(offset_s));
        let (days, rest) = (seconds / 86_400, (seconds % 86_400) as u32);
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            micros: (wall_us % 1_000_000) as u32,
            weekday: ((days + 4) % 7) as u8,
        }
    }

    fn month_name(&self) -> &'static [u8] {
        &MONTHS[(usize::from(self.month) - 1) * 3..][..3]
    }
}

/// Year, month and day of a day counted from 1970-01-01. Counts from 1 March of year 0, so that the leap day is the last
/// of its year, in eras of 400 years of 146097 days.
fn date_of(days: u64) -> (u32, u8, u8) {
    let shifted = days + 719_468;
    let (era, in_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is 0; five months are 153 days.
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((era * 400 + year_of_era + next_year) as u32, month as u8, day as u8)
}

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Sun, 06 Nov 1994 08:49:37 GMT`; always UTC.
    Imf,
    /// `22/Nov/2026:11:03:58.727`: `%t` and `%tr`, local.
    Log,
    /// `22/Nov/2026:11:03:58 +0100`: `%T` (with an offset of 0) and `%Tl`.
    Clf,
    /// `Nov  2 11:03:58`: RFC 3164, local.
    Syslog,
    /// `2026-11-22T11:03:58.727001+01:00`: RFC 5424 as HAProxy writes it, local.
    Iso,
}

/// Writes moments in one format; what does not change within a second is formatted once.
#[derive(Clone, Debug)]
pub struct Stamp {
    format: Format,
    /// Second and offset that `text` is of.
    of: Option<(u64, i32)>,
    text: Vec<u8>,
    /// Where the fraction of the second goes into `text`.
    fraction_at: usize,
}

impl Stamp {
    pub fn new(format: Format) -> Stamp {
        Stamp { format, of: None, text: Vec::new(), fraction_at: 0 }
    }

    /// Appends the moment `wall_us` (microseconds since 1970) in a zone `offset_s` seconds ahead of UTC.
    pub fn write(&mut self, wall_us: u64, offset_s: i32, out: &mut Vec<u8>) {
        let key = (wall_us / 1_000_000, offset_s);
        if self.of != Some(key) {
            self.render(wall_us, offset_s);
            self.of = Some(key);
        }
        out.extend_from_slice(&self.text[..self.fraction_at]);
        let micros = (wall_us % 1_000_000) as u32;
        match self.format {
            Format::Log => push_padded(out, micros / 1000, 3),
            Format::Iso => push_padded(out, micros, 6),
            _ => {}
        }
        out.extend_from_slice(&self.text[self.fraction_at..]);
    }

    fn render(&mut self, wall_us: u64, offset_s: i32) {
        let offset_s = if self.format == Format::Imf { 0 } else { offset_s };
        let at = Civil::at(wall_us, offset_s);
        let out = &mut self.text;
        out.clear();
        match self.format {
            Format::Imf => {
                out.extend_from_slice(&WEEKDAYS[usize::from(at.weekday) * 3..][..3]);
                out.extend_from_slice(b", ");
                push_date(out, &at, b' ');
                out.push(b' ');
                push_time(out, &at);
                out.extend_from_slice(b" GMT");
                self.fraction_at = out.len();
            }
            Format::Log => {
                push_date(out, &at, b'/');
                out.push(b':');
                push_time(out, &at);
                out.push(b'.');
                self.fraction_at = out.len();
            }
            Format::Clf => {
                push_date(out, &at, b'/');
                out.push(b':');
                push_time(out, &at);
                out.push(b' ');
                push_zone(out, offset_s, b"");
                self.fraction_at = out.len();
            }
            Format::Syslog => {
                out.extend_from_slice(at.month_name());
                out.push(b' ');
                // RFC 3164 §4.1.2: a blank instead of a leading zero.
                out.push(if at.day < 10 { b' ' } else { b'0' + at.day / 10 });
                out.push(b'0' + at.day % 10);
                out.push(b' ');
                push_time(out, &at);
                self.fraction_at = out.len();
            }
            Format::Iso => {
                push_padded(out, at.year, 4);
                out.push(b'-');
                push_padded(out, at.month.into(), 2);
                out.push(b'-');
                push_padded(out, at.day.into(), 2);
                out.push(b'T');
                push_time(out, &at);
                out.push(b'.');
                self.fraction_at = out.len();
                push_zone(out, offset_s, b":");
            }
        }
    }
}

fn push_date(out: &mut Vec<u8>, at: &Civil, between: u8) {
    push_padded(out, at.day.into(), 2);
    out.push(between);
    out.extend_from_slice(at.month_name());
    out.push(between);
    push_padded(out, at.year, 4);
}

fn push_time(out: &mut Vec<u8>, at: &Civil) {
    push_padded(out, at.hour.into(), 2);
    out.push(b':');
    push_padded(out, at.minute.into(), 2);
    out.push(b':');
    push_padded(out, at.second.into(), 2);
}

/// `+0100` or `+01:00`.
fn push_zone(out: &mut Vec<u8>, offset_s: i32, between: &[u8]) {
    let minutes = offset_s.unsigned_abs() / 60;
    out.push(if offset_s < 0 { b'-' } else { b'+' });
    push_padded(out, minutes / 60, 2);
    out.extend_from_slice(between);
    push_padded(out, minutes % 60, 2);
}

fn push_padded(out: &mut Vec<u8>, number: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10u32.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, wall_us: u64, offset_s: i32) -> String {
        let mut out = Vec::new();
        Stamp::new(format).write(wall_us, offset_s, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_is_as_specified() {
        let sunday = 784_111_777_000_000;
        assert_eq!(written(Format::Imf, sunday, 3600), "Sun, 06 Nov 1994 08:49:37 GMT");
        let us = 1_795_345_438_727_001;
        assert_eq!(written(Format::Log, us, 0), "22/Nov/2026:11:03:58.727");
        assert_eq!(written(Format::Clf, us, 19_800), "22/Nov/2026:16:33:58 +0530");
        assert_eq!(written(Format::Syslog, us, 0), "Nov 22 11:03:58");
        assert_eq!(written(Format::Syslog, sunday, 0), "Nov  6 08:49:37");
        assert_eq!(written(Format::Iso, us, -12_600), "2026-11-22T07:33:58.727001-03:30");
    }

    #[test]
    fn calendar_holds_at_its_edges() {
        let date = |days: u64| date_of(days);
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
        assert_eq!(Civil::at(0, 0).weekday, 4);
        assert_eq!(Civil::at(0, -3600).hour, 0, "before 1970 there is nothing");
    }

    #[test]
    fn a_stamp_follows_second_and_zone() {
        let mut stamp = Stamp::new(Format::Log);
        let mut write = |us, offset| {
            let mut out = Vec::new();
            stamp.write(us, offset, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(1_001_000, 0), "01/Jan/1970:00:00:01.001");
        assert_eq!(write(1_999_000, 0), "01/Jan/1970:00:00:01.999");
        assert_eq!(write(2_000_000, 0), "01/Jan/1970:00:00:02.000");
        assert_eq!(write(2_000_000, 60), "01/Jan/1970:00:01:02.000");
    }
}
