//! Words that are a time, a size or a percentage (manual 2.5, 2.6). Knows no keyword: each one wraps these faults in
//! its own text; the most common wrapping is [`TimeError::text`].

/// The unit of a time without suffix, and of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
}

impl Unit {
    fn microseconds(self) -> u128 {
        match self {
            Unit::Microseconds => 1,
            Unit::Milliseconds => 1_000,
            Unit::Seconds => 1_000_000,
            Unit::Minutes => 60_000_000,
            Unit::Hours => 3_600_000_000,
            Unit::Days => 86_400_000_000,
        }
    }
}

/// HAProxy keeps times in signed 32-bit numbers: 24.8 days in milliseconds, 68 years in seconds.
pub const TIME_MAX: u64 = i32::MAX as u64;

/// A time that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// In the unit that was asked for; what is smaller than one of it counts as one.
    pub value: u64,
    /// What follows the unit (`10sx`). HAProxy warns about it and goes on, so callers give [`Time::warning`].
    pub trailing: Option<char>,
}

impl Time {
    /// HAProxy's warning about what follows the unit in `word`.
    pub fn warning(&self, word: &str) -> Option<String> {
        let c = self.trailing?;
        Some(format!(
            "unexpected character '{c}' after the timer value '{word}', only (us=microseconds,ms=milliseconds,\
             s=seconds,m=minutes,h=hours,d=days) are supported. This will be reported as an error in next versions."
        ))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// There is no text at all.
    Missing,
    Unexpected(char),
    Overflow,
}

impl TimeError {
    /// The text of `timeout` and most other keywords: `keyword` is for example `timeout client`.
    pub fn text(&self, word: &str, keyword: &str) -> String {
        match self {
            TimeError::Missing => format!("'{keyword}' expects an integer value (in milliseconds)"),
            TimeError::Unexpected(c) => format!("unexpected character '{c}' in '{keyword}'"),
            TimeError::Overflow => format!(
                "timer overflow in argument '{word}' to '{keyword}' (maximum value is {TIME_MAX} ms or ~24.8 days)"
            ),
        }
    }
}

/// Reads a time whose bare numbers are `unit`, and gives it in `unit`.
pub fn time(word: &str, unit: Unit) -> Result<Time, TimeError> {
    time_as(word, unit, unit)
}

/// Reads a time in milliseconds whose bare numbers are milliseconds: what most keywords want.
pub fn milliseconds(word: &str) -> Result<u64, TimeError> {
    time(word, Unit::Milliseconds).map(|t| t.value)
}

/// Reads a time whose bare numbers are `bare`, and gives it in `result`.
pub fn time_as(word: &str, bare: Unit, result: Unit) -> Result<Time, TimeError> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = word.split_at(digits);
    if digits == 0 {
        return Err(word.chars().next().map_or(TimeError::Missing, TimeError::Unexpected));
    }
    let (unit, rest) = split_unit(suffix, bare);
    if unit.is_none() {
        return Err(TimeError::Unexpected(suffix.chars().next().unwrap_or(' ')));
    }
    let number: u128 = number.parse().map_err(|_| TimeError::Overflow)?;
    let total = number.checked_mul(unit.unwrap_or(bare).microseconds()).ok_or(TimeError::Overflow)?;
    let value = u64::try_from(total.div_ceil(result.microseconds())).map_err(|_| TimeError::Overflow)?;
    if value > TIME_MAX {
        return Err(TimeError::Overflow);
    }
    Ok(Time { value, trailing: rest.chars().next() })
}

/// The unit at the start of `suffix` (`bare` where there is none) and what follows it; `None` for an unknown one.
fn split_unit(suffix: &str, bare: Unit) -> (Option<Unit>, &str) {
    let two = [("us", Unit::Microseconds), ("ms", Unit::Milliseconds)];
    let one = [("s", Unit::Seconds), ("m", Unit::Minutes), ("h", Unit::Hours), ("d", Unit::Days)];
    if suffix.is_empty() {
        return (Some(bare), "");
    }
    for (name, unit) in two.into_iter().chain(one) {
        if let Some(rest) = suffix.strip_prefix(name) {
            return (Some(unit), rest);
        }
    }
    (None, suffix)
}

/// What stands where a size should have ended; HAProxy quotes either its first character or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeError {
    pub rest: String,
}

impl SizeError {
    /// The first character of the rest.
    pub fn character(&self) -> char {
        self.rest.chars().next().unwrap_or(' ')
    }
}

/// Reads a size of at most 4 GiB - 1, as almost all keywords have: `10`, `16k`, `1M`, `2g`.
pub fn size(word: &str) -> Result<u64, SizeError> {
    bounded_size(word, u64::from(u32::MAX))
}

/// Reads a size of up to 64 bits.
pub fn large_size(word: &str) -> Result<u64, SizeError> {
    bounded_size(word, u64::MAX)
}

fn bounded_size(word: &str, most: u64) -> Result<u64, SizeError> {
    let stop = |at: usize| SizeError { rest: word.get(at..).unwrap_or_default().to_owned() };
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(stop(0));
    }
    let mut value: u64 = 0;
    for (at, byte) in word.bytes().enumerate().take(digits) {
        let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(byte - b'0')));
        value = next.filter(|v| *v <= most).ok_or_else(|| stop(at))?;
    }
    let factor = match word.as_bytes().get(digits) {
        None => return Ok(value),
        Some(b'k' | b'K') => 1 << 10,
        Some(b'm' | b'M') => 1 << 20,
        Some(b'g' | b'G') => 1 << 30,
        Some(_) => return Err(stop(digits)),
    };
    let value = value.checked_mul(factor).filter(|v| *v <= most).ok_or_else(|| stop(digits))?;
    match word.len() == digits + 1 {
        true => Ok(value),
        false => Err(stop(digits + 1)),
    }
}

/// A number that may be a share of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    Absolute(u32),
    Percent(u32),
}

/// Reads `50` or `50%`.
pub fn amount(word: &str) -> Option<Amount> {
    let decimal = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse().ok()).flatten();
    match word.strip_suffix('%') {
        Some(number) => decimal(number).map(Amount::Percent),
        None => decimal(word).map(Amount::Absolute),
    }
}

/// Reads a percentage with or without its sign, 0 to 100.
pub fn percent(word: &str) -> Option<u32> {
    match amount(word)? {
        Amount::Absolute(n) | Amount::Percent(n) => (n <= 100).then_some(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_haproxy_reads_them() {
        let ok = |w: &str| milliseconds(w).unwrap_or_else(|e| panic!("{w}: {e:?}"));
        assert_eq!(ok("10"), 10);
        assert_eq!(ok("1us"), 1);
        assert_eq!(ok("1001us"), 2);
        assert_eq!(ok("0us"), 0);
        assert_eq!(ok("10ms"), 10);
        assert_eq!(ok("10s"), 10_000);
        assert_eq!(ok("10m"), 600_000);
        assert_eq!(ok("10h"), 36_000_000);
        assert_eq!(ok("24d"), 2_073_600_000);
        assert_eq!(ok("2147483647"), TIME_MAX);
        assert_eq!(ok("2147483s"), 2_147_483_000);
    }

    #[test]
    fn bad_times_have_haproxys_text() {
        let text = |w: &str| milliseconds(w).expect_err(w).text(w, "timeout client");
        for w in
            ["25d", "2147483648", "2147484s", "99999999999999999999", "99999999999999999999999999999999999999999d"]
        {
            let wanted = format!(
                "timer overflow in argument '{w}' to 'timeout client' (maximum value is 2147483647 ms or ~24.8 days)"
            );
            assert_eq!(text(w), wanted);
        }
        let bad = [
            ("10x", 'x'),
            ("s", 's'),
            ("-1", '-'),
            ("1.5s", '.'),
            ("10S", 'S'),
            ("1e3", 'e'),
            ("+5", '+'),
            ("1é", 'é'),
        ];
        for (w, c) in bad {
            assert_eq!(text(w), format!("unexpected character '{c}' in 'timeout client'"));
        }
        assert_eq!(text(""), "'timeout client' expects an integer value (in milliseconds)");
    }

    #[test]
    fn text_behind_the_unit_is_a_warning() {
        let time = time("10sx", Unit::Milliseconds).expect("accepted");
        assert_eq!(time.value, 10_000);
        assert!(
            time.warning("10sx")
                .is_some_and(|w| w.starts_with("unexpected character 'x' after the timer value '10sx'"))
        );
    }

    #[test]
    fn bare_numbers_have_the_unit_of_the_keyword() {
        assert_eq!(time("10", Unit::Seconds).map(|t| t.value), Ok(10));
        assert_eq!(time("10m", Unit::Seconds).map(|t| t.value), Ok(600));
        assert_eq!(time("1ms", Unit::Seconds).map(|t| t.value), Ok(1));
        assert_eq!(time("25d", Unit::Seconds).map(|t| t.value), Ok(2_160_000));
        assert_eq!(time_as("10", Unit::Seconds, Unit::Milliseconds).map(|t| t.value), Ok(10_000));
    }

    #[test]
    fn sizes_and_where_bad_ones_stop() {
        assert_eq!(size("10"), Ok(10));
        assert_eq!(size("10k"), Ok(10_240));
        assert_eq!(size("10K"), Ok(10_240));
        assert_eq!(size("10m"), Ok(10_485_760));
        assert_eq!(size("3g"), Ok(3_221_225_472));
        assert_eq!(large_size("5g"), Ok(5_368_709_120));
        let cases = [("10kb", "b"), ("10g", "g"), ("x", "x"), ("-1", "-1"), ("10kk", "k"), ("1.5k", ".5k"), ("", "")];
        for (word, rest) in cases {
            assert_eq!(size(word), Err(SizeError { rest: rest.to_owned() }), "{word}");
        }
        assert_eq!(size("99999999999").map_err(|e| e.rest), Err("99".to_owned()));
    }

    #[test]
    fn percentages() {
        assert_eq!(amount("200%"), Some(Amount::Percent(200)));
        assert_eq!(amount("12"), Some(Amount::Absolute(12)));
        assert_eq!(
            (percent("50%"), percent("100"), percent("101"), percent("%"), percent("x")),
            (Some(50), Some(100), None, None, None)
        );
    }
}
