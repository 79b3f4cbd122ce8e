//! Figures out of samples: a latency histogram, percentiles, the median of few repetitions and paired ratios.
//! Knows nothing of where samples come from.

/// A histogram of nanoseconds with 256 steps a power of two: an error below 0.4 % at any size.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
}

const STEP_BITS: u32 = 8;
const STEPS: u64 = 1 << STEP_BITS;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; (STEPS * u64::from(64 - STEP_BITS + 1)) as usize], total: 0, largest: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, nanoseconds: u64) {
        self.counts[slot(nanoseconds)] += 1;
        self.total += 1;
        self.largest = self.largest.max(nanoseconds);
    }

    pub fn len(&self) -> u64 {
        self.total
    }

    /// The smallest recorded value that at least `quantile` of all samples do not exceed (nearest rank).
    pub fn quantile(&self, quantile: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let rank = ((quantile * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.largest);
            }
        }
        self.largest
    }
}

fn slot(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let shift = 63 - value.leading_zeros() - STEP_BITS;
    (u64::from(shift + 1) * STEPS + ((value >> shift) - STEPS)) as usize
}

fn upper_bound(index: usize) -> u64 {
    let (power, step) = (index as u64 / STEPS, index as u64 % STEPS);
    if power == 0 {
        return step;
    }
    let shift = power - 1;
    (((STEPS + step) << shift) - 1) + (1 << shift)
}

/// The middle of the values, or of the two in the middle; NaN when there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Min, median and max over repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Self> {
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let min = finite.iter().copied().min_by(f64::total_cmp)?;
        let max = finite.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { min, median: median(&finite), max })
    }
}

/// Subject over reference, repetition by repetition: what slows both of a pair cancels out.
pub fn ratios(subject: &[f64], reference: &[f64]) -> Option<Spread> {
    let pairs: Vec<f64> = subject
        .iter()
        .zip(reference)
        .filter(|(_, reference)| **reference > 0.0)
        .map(|(subject, reference)| subject / reference)
        .collect();
    Spread::of(&pairs)
}

/// How far two runs' medians may lie apart by chance, as a fraction: two standard errors of the difference of two
/// medians, from the median absolute deviation, and never below one per cent.
pub fn noise(values: &[f64]) -> f64 {
    const FLOOR: f64 = 0.01;
    let middle = median(values);
    if values.len() < 2 || !middle.is_finite() || middle == 0.0 {
        return f64::NAN;
    }
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    // 1.4826 makes the deviation of a normal distribution out of the MAD; 1.2533 the median's error out of the mean's.
    let deviation = 1.4826 * median(&deviations);
    let error = 1.2533 * deviation / (values.len() as f64).sqrt();
    (2.0 * error * std::f64::consts::SQRT_2 / middle).max(FLOOR)
}

/// Nearest-rank percentile of unsorted values, for tools that give every sample.
pub fn percentile(values: &mut [f64], quantile: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let rank = ((quantile * values.len() as f64).ceil() as usize).clamp(1, values.len());
    values[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_values_are_exact() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!(histogram.quantile(0.5), 50);
        assert_eq!(histogram.quantile(0.99), 99);
        assert_eq!(histogram.quantile(0.999), 100);
        assert_eq!(histogram.quantile(0.0), 1);
    }

    #[test]
    fn large_values_are_within_half_a_per_cent() {
        for value in [255, 256, 257, 1_000, 65_535, 1_234_567, 987_654_321, 60_000_000_000] {
            let bound = upper_bound(slot(value));
            assert!(bound >= value && (bound - value) as f64 <= value as f64 * 0.004, "{value} became {bound}");
        }
        assert!(slot(u64::MAX) < Histogram::default().counts.len());
    }

    #[test]
    fn quantile_agrees_with_sorted_samples() {
        let mut histogram = Histogram::default();
        let mut all = Vec::new();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..10_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = state % 3_000_000;
            histogram.record(value);
            all.push(value as f64);
        }
        for quantile in [0.5, 0.9, 0.99, 0.999] {
            let (ours, exact) = (histogram.quantile(quantile) as f64, percentile(&mut all, quantile));
            assert!((ours - exact).abs() <= exact * 0.004 + 1.0, "{quantile}: {ours} {exact}");
        }
    }

    #[test]
    fn an_empty_histogram_has_zero_everywhere() {
        assert_eq!(Histogram::default().quantile(0.99), 0);
        assert_eq!(Histogram::default().len(), 0);
    }

    #[test]
    fn ratios_pair_repetitions() {
        let spread = ratios(&[1.0, 2.0, 9.0], &[2.0, 2.0, 10.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (0.5, 0.9, 1.0));
        assert_eq!(ratios(&[], &[]), None);
        assert_eq!(ratios(&[1.0], &[0.0]), None);
    }

    #[test]
    fn median_of_an_even_count_lies_between() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn noise_grows_with_spread_and_has_a_floor() {
        assert_eq!(noise(&[10.0, 10.0, 10.0]), 0.01);
        assert!(noise(&[10.0, 11.0, 9.0, 10.5, 9.5]) > 0.05);
        assert!(noise(&[1.0]).is_nan());
    }
}
