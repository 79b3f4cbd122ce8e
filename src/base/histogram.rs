//! Durations in buckets of fixed memory: four buckets for each power of two of microseconds, from 16 µs to 134 s, one
//! below and one above. An error of at most 25 % for 752 bytes. One writer, any readers, which add up.

use super::counter::Counter;

const LOWEST_POWER: u32 = 4;
const HIGHEST_POWER: u32 = 27;
/// Buckets for each power of two: 2^2.
const SPLIT: u32 = 2;
pub const BUCKETS: usize = ((HIGHEST_POWER - LOWEST_POWER) << SPLIT) as usize + 2;

/// One writer's histogram.
#[derive(Debug)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: std::array::from_fn(|_| Counter::default()), sum_us: Counter::default() }
    }
}

impl Histogram {
    #[inline]
    pub fn record(&self, us: u64) {
        self.record_in(bucket_of(us), us);
    }

    /// `bucket`: what [`bucket_of`] gave for `us`.
    #[inline]
    pub fn record_in(&self, bucket: usize, us: u64) {
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }
}

/// Several writers' histograms added up.
#[derive(Debug, Clone)]
pub struct Summary {
    pub counts: [u64; BUCKETS],
    pub sum_us: u64,
}

impl Default for Summary {
    fn default() -> Self {
        Summary { counts: [0; BUCKETS], sum_us: 0 }
    }
}

impl Summary {
    pub fn add(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.counts.iter_mut().zip(&histogram.buckets) {
            *sum = sum.wrapping_add(bucket.get());
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.get());
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Durations of at most `us`; exact where `us` is a bucket's upper edge (every power of two is).
    pub fn at_most(&self, us: u64) -> u64 {
        (0..BUCKETS).take_while(|&b| upper_edge_us(b) <= us).map(|b| self.counts[b]).sum()
    }

    /// The duration that `share` (0 to 1) of all do not exceed, as the upper edge of its bucket; `None` without any.
    pub fn quantile_us(&self, share: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, n) in self.counts.iter().enumerate() {
            seen += n;
            if *n > 0 && seen >= rank {
                return Some(upper_edge_us(bucket).min(1 << HIGHEST_POWER));
            }
        }
        None
    }
}

/// The bucket of a duration.
#[inline]
pub fn bucket_of(us: u64) -> usize {
    if us < 1 << LOWEST_POWER {
        return 0;
    }
    let power = 63 - us.leading_zeros();
    if power >= HIGHEST_POWER {
        return BUCKETS - 1;
    }
    let part = (us >> (power - SPLIT)) as u32 & ((1 << SPLIT) - 1);
    (((power - LOWEST_POWER) << SPLIT) + part) as usize + 1
}

/// Durations in this bucket are below this many microseconds.
pub fn upper_edge_us(bucket: usize) -> u64 {
    if bucket == BUCKETS - 1 {
        return u64::MAX;
    }
    let power = bucket as u32 >> SPLIT;
    let part = bucket as u64 & ((1 << SPLIT) - 1);
    ((1 << SPLIT) + part) << (power + LOWEST_POWER - SPLIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_below_the_edge_of_its_bucket_and_not_below_the_one_before() {
        for us in (0..100_000).chain([1 << 20, (1 << 27) - 1, 1 << 27, u64::MAX - 1]) {
            let bucket = bucket_of(us);
            assert!(us < upper_edge_us(bucket), "{us}");
            assert!(bucket == 0 || us >= upper_edge_us(bucket - 1), "{us}");
        }
    }

    #[test]
    fn quantiles_and_sums() {
        let (a, b) = (Histogram::default(), Histogram::default());
        for _ in 0..90 {
            a.record(1000);
        }
        for _ in 0..10 {
            b.record(50_000);
        }
        let mut sum = Summary::default();
        sum.add(&a);
        sum.add(&b);
        assert_eq!((sum.count(), sum.sum_us), (100, 590_000));
        assert_eq!(sum.quantile_us(0.5), Some(1024));
        assert_eq!(sum.quantile_us(0.99), Some(57344));
        assert_eq!(sum.at_most(1024), 90);
        assert_eq!(Summary::default().quantile_us(0.5), None);
    }
}
