//! Dates in logs (manual 8.2.6): `22/Nov/2026:11:03:58.727`, `22/Nov/2026:11:03:58 +0000`.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A moment taken apart, in some time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// From 1.
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// Days since Sunday.
    pub weekday: u8,
}

impl Civil {
    /// Takes seconds since 1970 apart (proleptic Gregorian calendar).
    pub fn new(seconds: i64) -> Civil {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Eras of 400 years from 1 March of year 0: leap days fall at their ends.
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Civil {
            year: year_of_era + era * 400 + (month <= 2) as i64,
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }
}

impl Civil {
    /// Days since 1970 of a date.
    pub fn days(year: i64, month: i64, day: i64) -> i64 {
        let year = if month <= 2 { year - 1 } else { year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// Days since 1 January.
    pub fn day_of_year(&self) -> i64 {
        Civil::days(self.year, self.month as i64, self.day as i64) - Civil::days(self.year, 1, 1)
    }
}

fn two(n: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + n / 10, b'0' + n % 10]);
}

/// `22/Nov/2026:11:03:58`.
fn write_seconds(c: &Civil, out: &mut Vec<u8>) {
    two(c.day, out);
    out.push(b'/');
    out.extend_from_slice(MONTHS[(c.month as usize - 1).min(11)]);
    out.push(b'/');
    crate::language::sample::cast::push_int(out, c.year);
    for (separator, n) in [(b':', c.hour), (b':', c.minute), (b':', c.second)] {
        out.push(separator);
        two(n, out);
    }
}

/// `%t` and `%tr`: local time with milliseconds. `offset` is what local time is ahead of UTC, in seconds.
pub fn write_log_date(wall_us: u64, offset: i32, out: &mut Vec<u8>) {
    write_seconds(&Civil::new((wall_us / 1_000_000) as i64 + offset as i64), out);
    let ms = (wall_us / 1000 % 1000) as u16;
    out.push(b'.');
    out.push(b'0' + (ms / 100) as u8);
    two((ms % 100) as u8, out);
}

/// `%T` and `%trg`: UTC with `+0000`.
pub fn write_clf(wall_us: u64, out: &mut Vec<u8>) {
    write_seconds(&Civil::new((wall_us / 1_000_000) as i64), out);
    out.extend_from_slice(b" +0000");
}

/// `%Tl` and `%trl`: local time with its offset.
pub fn write_local(wall_us: u64, offset: i32, out: &mut Vec<u8>) {
    write_seconds(&Civil::new((wall_us / 1_000_000) as i64 + offset as i64), out);
    out.push(b' ');
    out.push(if offset < 0 { b'-' } else { b'+' });
    let minutes = offset.unsigned_abs() / 60;
    two((minutes / 60) as u8, out);
    two((minutes % 60) as u8, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_logs_show_them() {
        let mut out = Vec::new();
        write_log_date(1_795_345_438_727_000, 0, &mut out);
        out.push(b'|');
        write_clf(951_782_400_000_000, &mut out);
        out.push(b'|');
        write_local(951_782_400_000_000, -9000, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "22/Nov/2026:11:03:58.727|29/Feb/2000:00:00:00 +0000|28/Feb/2000:21:30:00 -0230");
    }
}
