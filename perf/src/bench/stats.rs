//! Whether two sets of measurements differ by more than noise.
//!
//! The Mann–Whitney test asks only for the order of the values, so that one stalled run, which
//! would spoil a mean and its deviation, counts as one value and no more. It is exact here: all
//! ways of dealing the values out to the two sides are counted.

/// Below this two-sided probability, chance is no explanation.
pub const CHANCE_MAX: f64 = 0.05;
/// Medians closer than this are alike, however surely they differ.
pub const CHANGE_MIN: f64 = 0.02;
/// Values beyond this on one side are not looked at: the count grows with the cube.
const VALUES_MAX: usize = 40;

/// What can be said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is larger than noise, and this way.
    Higher,
    /// The same, the other way.
    Lower,
    /// It may be noise, or is too small to matter.
    Same,
    /// So few runs could not tell, whatever they had been.
    TooFew,
}

/// Compares `after` to `before`.
pub fn verdict(before: &[f64], after: &[f64]) -> Verdict {
    let (Some(old), Some(new)) = (median(before), median(after)) else { return Verdict::TooFew };
    if least_chance(before.len(), after.len()) >= CHANCE_MAX {
        return Verdict::TooFew;
    }
    let scale = old.abs().max(new.abs());
    if (new - old).abs() <= CHANGE_MIN * scale || chance(before, after) >= CHANCE_MAX {
        return Verdict::Same;
    }
    if new > old { Verdict::Higher } else { Verdict::Lower }
}

/// The middle value.
pub fn median(values: &[f64]) -> Option<f64> {
    crate::table::Spread::of(values.iter().copied()).map(|spread| spread.median)
}

/// The least probability that so many values can give: all of one side above the other.
fn least_chance(left: usize, right: usize) -> f64 {
    let (left, right) = (left.min(VALUES_MAX), right.min(VALUES_MAX));
    let ways: f64 = (1..=left).map(|i| (right + i) as f64 / i as f64).product();
    2.0 / ways
}

/// The two-sided probability that chance alone puts the two sides this far apart.
pub fn chance(left: &[f64], right: &[f64]) -> f64 {
    let (left, right) = (head(left), head(right));
    if left.is_empty() || right.is_empty() {
        return 1.0;
    }
    let ranks = doubled_ranks(&[left, right].concat());
    let found: usize = ranks[..left.len()].iter().sum();
    let ways = ways_by_sum(&ranks, left.len());
    let expected = left.len() * (ranks.len() + 1);
    let distance = found.abs_diff(expected);
    let all: f64 = ways.iter().sum();
    let as_far = |sum: &usize| sum.abs_diff(expected) >= distance;
    let far: f64 = (0..ways.len()).filter(as_far).map(|sum| ways[sum]).sum();
    (far / all).min(1.0)
}

fn head(values: &[f64]) -> &[f64] {
    &values[..values.len().min(VALUES_MAX)]
}

/// Twice the rank of each value; equal values share the middle of their places, hence twice.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count();
        let equal = values.iter().filter(|other| *other == value).count();
        2 * below + equal + 1
    };
    values.iter().map(rank).collect()
}

/// In how many ways `count` of the ranks add up to each sum.
fn ways_by_sum(ranks: &[usize], count: usize) -> Vec<f64> {
    let sum_max: usize = ranks.iter().sum();
    let mut ways = vec![vec![0.0; sum_max + 1]; count + 1];
    ways[0][0] = 1.0;
    for rank in ranks {
        for taken in (1..=count).rev() {
            for sum in (*rank..=sum_max).rev() {
                ways[taken][sum] += ways[taken - 1][sum - rank];
            }
        }
    }
    ways.swap_remove(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_those_of_the_tables() {
        let low = [1.0, 2.0, 3.0, 4.0, 5.0];
        let high = [6.0, 7.0, 8.0, 9.0, 10.0];
        // 2 of the 252 ways to deal ten values out.
        assert!((chance(&low, &high) - 2.0 / 252.0).abs() < 1e-12);
        assert!((chance(&high, &low) - 2.0 / 252.0).abs() < 1e-12);
        // U = 2 of 25: 0.0317 in the tables.
        let nearly = [3.5, 5.5, 6.0, 7.0, 8.0];
        assert!((chance(&low, &nearly) - 8.0 / 252.0).abs() < 1e-12);
        assert_eq!(chance(&low, &low), 1.0);
        assert_eq!(chance(&[1.0, 1.0], &[1.0, 1.0]), 1.0);
        assert_eq!(chance(&[], &low), 1.0);
    }

    #[test]
    fn a_change_is_told_from_noise() {
        let base = [100.0, 101.0, 99.0, 102.0, 98.0];
        let scaled = |by: f64| base.map(|value| value * by);
        for (after, expected) in [
            (scaled(1.0), Verdict::Same),
            (scaled(1.5), Verdict::Higher),
            (scaled(0.5), Verdict::Lower),
            // One run of five that stalled.
            ([100.0, 101.0, 99.0, 102.0, 10.0], Verdict::Same),
        ] {
            assert_eq!(verdict(&base, &after), expected, "{after:?}");
        }
        // Surely more, and too little to matter.
        let calm = [100.0, 100.1, 100.2, 99.9, 99.8];
        let above = calm.map(|value| value * 1.015);
        assert!(chance(&calm, &above) < CHANCE_MAX);
        assert_eq!(verdict(&calm, &above), Verdict::Same);
    }

    #[test]
    fn few_runs_tell_nothing() {
        assert_eq!(verdict(&[1.0, 1.1, 1.2], &[9.0, 9.1, 9.2]), Verdict::TooFew);
        assert_eq!(verdict(&[1.0, 1.1, 1.2, 1.3], &[9.0, 9.1, 9.2, 9.3]), Verdict::Higher);
        assert_eq!(verdict(&[], &[1.0]), Verdict::TooFew);
    }

    #[test]
    fn many_runs_are_no_trouble() {
        let many: Vec<f64> = (0..200).map(f64::from).collect();
        let more: Vec<f64> = many.iter().map(|value| value + 1000.0).collect();
        assert_eq!(verdict(&many, &more), Verdict::Higher);
    }
}
