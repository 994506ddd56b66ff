//! Lines of words that are known beforehand, and what counting them exactly once must give.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::random::Random;

const WORDS: u64 = 200;
/// Words in each line.
pub const WORDS_PER_LINE: u64 = 5;

/// Lines as the producer program takes them: key, tab, words.
pub fn lines(random: &mut Random, count: u64) -> String {
    let mut text = String::new();
    for index in 0..count {
        let _ = write!(text, "{index}\t");
        for position in 0..WORDS_PER_LINE {
            let space = if position == 0 { "" } else { " " };
            // The smaller of two: some words are much more frequent than others.
            let word = random.below(WORDS).min(random.below(WORDS));
            let _ = write!(text, "{space}word{word}");
        }
        text.push('\n');
    }
    text
}

/// What is wrong with counts that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Different words in the input.
    pub words: u64,
    /// Counts that never came.
    pub missing: u64,
    /// Counts that came again, went back or left one out: anything but the next of its word.
    pub unexpected: u64,
    /// Words whose last count is not how often they occur.
    pub wrong: u64,
}

/// Holds pairs of word and count, in the order of reading, against the lines.
pub fn check(lines: &str, counts: &[(&str, &str)]) -> Verdict {
    let mut wanted = BTreeMap::<&str, u64>::new();
    for (_, words) in lines.lines().filter_map(|line| line.split_once('\t')) {
        for word in words.split(' ') {
            *wanted.entry(word).or_default() += 1;
        }
    }
    let mut verdict = Verdict { words: wanted.len() as u64, ..Verdict::default() };
    let mut last = BTreeMap::<&str, u64>::new();
    for (word, count) in counts {
        let before = last.entry(*word).or_default();
        let count = count.parse().unwrap_or(0);
        verdict.unexpected += u64::from(count != *before + 1 || !wanted.contains_key(word));
        *before = count;
    }
    for (word, count) in &wanted {
        let found = last.get(word).copied().unwrap_or(0);
        verdict.missing += count.saturating_sub(found);
        verdict.wrong += u64::from(found != *count);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_seen() {
        let lines = "0\ta b a\n1\tb a\n";
        let right = [("a", "1"), ("b", "1"), ("a", "2"), ("a", "3"), ("b", "2")];
        assert_eq!(check(lines, &right), Verdict { words: 2, ..Verdict::default() });
        for (counts, missing, unexpected, wrong) in [
            (&right[..4], 1, 0, 1),                                        // one is lost
            (&[&right[..], &[("b", "2")]].concat(), 0, 1, 0),              // one comes again
            (&[&right[..], &[("b", "3")]].concat(), 0, 0, 1),              // one is counted twice
            (&[&right[..], &[("c", "1")]].concat(), 0, 1, 0),              // nobody said it
            (&[&right[..3], &[("a", "1"), ("b", "2")]].concat(), 2, 1, 1), // state was lost
            (&[&right[..4], &[("b", "x")]].concat(), 2, 1, 1),             // not a number
        ] {
            let verdict = Verdict { words: 2, missing, unexpected, wrong };
            assert_eq!(check(lines, counts), verdict, "{counts:?}");
        }
    }

    #[test]
    fn lines_are_those_of_the_seed() {
        let text = lines(&mut Random::new(7), 3);
        assert_eq!(text, lines(&mut Random::new(7), 3));
        assert_eq!(text.split_whitespace().count(), 3 * (1 + WORDS_PER_LINE as usize));
        assert_ne!(text, lines(&mut Random::new(8), 3));
    }
}
