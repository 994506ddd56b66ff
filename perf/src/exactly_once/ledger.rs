//! Transfers between accounts, and what applying each exactly once must give.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::random::Random;

/// How many accounts there are.
pub const ACCOUNTS: u64 = 50;
const AMOUNT_MAX: u64 = 1000;

/// Transfers as the producer program takes them: key, tab, `id from to amount`. Nobody pays to
/// himself.
pub fn transfers(random: &mut Random, count: u64) -> String {
    let mut text = String::new();
    for id in 0..count {
        let from = random.below(ACCOUNTS);
        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = 1 + random.below(AMOUNT_MAX);
        let _ = writeln!(text, "{id}\t{id} account{from} account{to} {amount}");
    }
    text
}

/// What is wrong with movements that were read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// All movements together.
    pub sum: i64,
    /// Debits and credits that are not there.
    pub missing: u64,
    /// Debits and credits that are there again.
    pub repeated: u64,
    /// Movements that no transfer asks for.
    pub strange: u64,
    /// Accounts that do not hold what the transfers give.
    pub wrong: u64,
    /// How many movements each processor made.
    pub by: BTreeMap<String, u64>,
}

/// Holds movements, `id account amount processor`, against the transfers.
pub fn check(transfers: &str, movements: &[&str]) -> Verdict {
    let mut wanted = BTreeMap::<(&str, &str, i64), u64>::new();
    let mut balances = BTreeMap::<&str, i64>::new();
    for (_, transfer) in transfers.lines().filter_map(|line| line.split_once('\t')) {
        let words: Vec<&str> = transfer.split(' ').collect();
        let [id, from, to, amount] = words[..] else { continue };
        let amount: i64 = amount.parse().unwrap_or(0);
        for (account, amount) in [(from, -amount), (to, amount)] {
            wanted.insert((id, account, amount), 0);
            *balances.entry(account).or_default() -= amount;
        }
    }
    let mut verdict = Verdict::default();
    for movement in movements {
        let words: Vec<&str> = movement.split(' ').collect();
        let [id, account, amount, processor] = words[..] else {
            verdict.strange += 1;
            continue;
        };
        let amount: i64 = amount.parse().unwrap_or(0);
        verdict.sum += amount;
        *verdict.by.entry(processor.to_string()).or_default() += 1;
        *balances.entry(account).or_default() += amount;
        match wanted.get_mut(&(id, account, amount)) {
            Some(seen) => *seen += 1,
            None => verdict.strange += 1,
        }
    }
    for seen in wanted.values() {
        verdict.missing += u64::from(*seen == 0);
        verdict.repeated += seen.saturating_sub(1);
    }
    verdict.wrong = balances.values().filter(|balance| **balance != 0).count() as u64;
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_seen() {
        let transfers = "0\t0 a b 5\n1\t1 b c 7\n";
        let right = ["0 a -5 p", "1 b -7 q", "0 b 5 p", "1 c 7 q"];
        let verdict = check(transfers, &right);
        assert_eq!(verdict.by, BTreeMap::from([("p".to_string(), 2), ("q".to_string(), 2)]));
        assert_eq!(verdict, Verdict { by: verdict.by.clone(), ..Verdict::default() });
        for (movements, sum, missing, repeated, strange, wrong) in [
            (&right[..3], -7, 1, 0, 0, 1),
            (&right[..2], -12, 2, 0, 0, 2),
            (&[&right[..], &right[2..3]].concat(), 5, 0, 1, 0, 1),
            (&[&right[..], &["2 a -1 p", "2 b 1 p"]].concat(), 0, 0, 0, 2, 2),
            (&[&right[..], &["rubbish"]].concat(), 0, 0, 0, 1, 0),
        ] {
            let found = check(transfers, movements);
            let by = found.by.clone();
            let verdict = Verdict { sum, missing, repeated, strange, wrong, by };
            assert_eq!(found, verdict, "{movements:?}");
        }
    }

    #[test]
    fn transfers_go_to_others_and_give_something() {
        let text = transfers(&mut Random::new(3), 1000);
        for line in text.lines() {
            let words: Vec<&str> = line.split([' ', '\t']).collect();
            assert_ne!(words[2], words[3]);
            assert_ne!(words[4], "0");
        }
    }
}
