//! When checks run (manual 5.2 "inter", "fastinter", "downinter"; 3.1 "spread-checks", "max-spread-checks"). Pure: the
//! caller brings health, time and randomness.

use crate::model::{server::CheckSettings, state::health::Health};

/// Milliseconds to the next check of a server in this health: surely up, surely down, or between the two.
pub fn interval_ms(settings: &CheckSettings, health: &Health) -> u64 {
    let full = health.rise + health.fall - 1;
    let chosen = match health.value {
        0 => settings.downinter_ms,
        value if value >= full => None,
        _ => settings.fastinter_ms,
    };
    chosen.unwrap_or(settings.inter_ms).max(1)
}

/// Moves an interval by up to `percent` of it either way; `random` is any number.
pub fn spread_ms(interval_ms: u64, percent: u32, random: u64) -> u64 {
    let reach = interval_ms * u64::from(percent.min(50)) / 100;
    if reach == 0 {
        return interval_ms;
    }
    interval_ms - reach + random % (2 * reach + 1)
}

/// When check number `position` of `count` runs first: they are spread over the shortest interval of all, or over
/// `bound_ms` where that is shorter still.
pub fn first_ms(position: usize, count: usize, shortest_ms: u64, bound_ms: Option<u64>) -> u64 {
    let span = bound_ms.map_or(shortest_ms, |bound| bound.min(shortest_ms));
    span * position as u64 / count.max(1) as u64
}

/// How long a check may take to connect, and in all: with `timeout check` the connect has the shorter of `timeout
/// connect` and the interval, and what follows has its own time; without it the interval bounds everything.
pub fn timeouts_ms(inter_ms: u64, connect_ms: Option<u64>, check_ms: Option<u64>) -> (u64, Option<u64>) {
    match check_ms {
        Some(check) => (connect_ms.map_or(inter_ms, |c| c.min(inter_ms)), Some(check)),
        None => (inter_ms, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_health() {
        let settings =
            CheckSettings { inter_ms: 1000, fastinter_ms: Some(100), downinter_ms: Some(5000), ..Default::default() };
        let at = |value| interval_ms(&settings, &Health { value, rise: 2, fall: 3 });
        assert_eq!([at(0), at(1), at(2), at(3), at(4)], [5000, 100, 100, 100, 1000]);
        let plain = CheckSettings { inter_ms: 700, ..Default::default() };
        assert!((0..=4).all(|value| interval_ms(&plain, &Health { value, rise: 2, fall: 3 }) == 700));
    }

    #[test]
    fn spreading_stays_within_its_percentage() {
        assert_eq!(spread_ms(1000, 0, 12345), 1000);
        let all: Vec<u64> = (0..500).map(|r| spread_ms(1000, 10, r * 7919)).collect();
        assert!(all.iter().all(|ms| (900..=1100).contains(ms)));
        assert!(all.iter().min() < Some(&910) && all.iter().max() > Some(&1090));
    }

    #[test]
    fn first_checks_are_spread_over_the_shortest_interval() {
        assert_eq!((0..4).map(|i| first_ms(i, 4, 2000, None)).collect::<Vec<_>>(), [0, 500, 1000, 1500]);
        assert_eq!((0..4).map(|i| first_ms(i, 4, 2000, Some(400))).collect::<Vec<_>>(), [0, 100, 200, 300]);
        assert_eq!(first_ms(3, 4, 2000, Some(400_000)), 1500);
    }

    #[test]
    fn timeouts_are_those_of_the_manual() {
        assert_eq!(timeouts_ms(2000, Some(5000), None), (2000, None));
        assert_eq!(timeouts_ms(2000, Some(5000), Some(300)), (2000, Some(300)));
        assert_eq!(timeouts_ms(2000, Some(500), Some(300)), (500, Some(300)));
        assert_eq!(timeouts_ms(2000, None, Some(300)), (2000, Some(300)));
    }
}
