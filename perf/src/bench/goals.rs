//! How the goals stand: each with what was measured of it.

use super::figures;
use super::results::Results;
use super::spec::Goal;
use crate::table::{Spread, significant};

/// What became of a goal on one workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// The median meets it, and so do most pairs.
    Met,
    /// The median meets it or not, and the rounds disagree so far that it may be chance.
    Unsure(bool),
    /// The median does not meet it.
    Missed,
    /// Something of it was not measured.
    Unmeasured,
}

impl Standing {
    /// For tables.
    pub fn text(self) -> &'static str {
        match self {
            Standing::Met => "met",
            Standing::Unsure(true) => "met, rounds differ",
            Standing::Unsure(false) => "MISSED, rounds differ",
            Standing::Missed => "MISSED",
            Standing::Unmeasured => "not measured",
        }
    }

    /// Whether the median meets it.
    pub fn is_met(self) -> bool {
        matches!(self, Standing::Met | Standing::Unsure(true))
    }
}

/// A goal on one workload.
#[derive(Clone, Debug)]
pub struct Judged<'a> {
    /// Which.
    pub goal: &'a Goal,
    /// On what.
    pub workload: &'a str,
    /// The ratio of medians (or the median), and the range of the rounds.
    pub found: Option<Spread>,
    /// What that means.
    pub standing: Standing,
}

impl Judged<'_> {
    /// What was measured, for tables.
    pub fn measured(&self) -> String {
        let Some(found) = self.found else { return String::new() };
        let is_ratio = self.goal.against.is_some() || self.goal.against_workload.is_some();
        match figures::find(&self.goal.figure) {
            Some(figure) if !is_ratio => {
                format!("{} {}", found.scaled(figure.scale).text(), figure.title)
            }
            _ => format!("{} ×", found.text()),
        }
    }

    /// The bound, for tables.
    pub fn wanted(&self) -> String {
        let is_ratio = self.goal.against.is_some() || self.goal.against_workload.is_some();
        let figure = figures::find(&self.goal.figure).filter(|_| !is_ratio);
        let scale = figure.map_or(1.0, |figure| figure.scale);
        match (self.goal.at_least, self.goal.at_most) {
            (Some(least), _) => format!("≥ {}", significant(least * scale)),
            (_, Some(most)) => format!("≤ {}", significant(most * scale)),
            _ => String::new(),
        }
    }
}

/// How many are met, in a sentence.
pub fn tally(judged: &[Judged<'_>]) -> String {
    let met = judged.iter().filter(|one| one.standing.is_met()).count();
    let unknown = judged.iter().filter(|one| one.standing == Standing::Unmeasured).count();
    let rest = if unknown > 0 { format!(", {unknown} not measured") } else { String::new() };
    format!("{met} of {} met{rest}.", judged.len())
}

/// Every goal on each of its workloads.
pub fn judge(results: &Results) -> Vec<Judged<'_>> {
    let mut all = Vec::new();
    for goal in &results.head.experiment.goals {
        for workload in &goal.workloads {
            let found = found(results, goal, workload);
            let standing = found.map_or(Standing::Unmeasured, |found| standing(goal, found));
            all.push(Judged { goal, workload, found, standing });
        }
    }
    all
}

fn found(results: &Results, goal: &Goal, workload: &str) -> Option<Spread> {
    let ours = results.values(workload, &goal.broker, &goal.figure);
    if goal.against.is_none() && goal.against_workload.is_none() {
        return Spread::of(ours);
    }
    let base_workload = goal.against_workload.as_deref().unwrap_or(workload);
    let base_broker = goal.against.as_deref().unwrap_or(&goal.broker);
    let theirs = results.values(base_workload, base_broker, &goal.figure);
    // The range of the pairs, and the ratio of the medians, which pairs of a bad minute spoil less.
    let pairs = ours.iter().zip(&theirs).filter(|(_, base)| **base > 0.0);
    let pairs = Spread::of(pairs.map(|(value, base)| value / base))?;
    let ours_at = (workload, goal.broker.as_str());
    let median = results.ratio(&goal.figure, ours_at, (base_workload, base_broker))?;
    Some(Spread { median, low: pairs.low.min(median), high: pairs.high.max(median) })
}

fn standing(goal: &Goal, found: Spread) -> Standing {
    let (is_met, is_split) = match (goal.at_least, goal.at_most) {
        (Some(least), _) => (found.median >= least, found.low < least && found.high >= least),
        (_, Some(most)) => (found.median <= most, found.low <= most && found.high > most),
        _ => return Standing::Unmeasured,
    };
    match (is_met, is_split) {
        (_, true) => Standing::Unsure(is_met),
        (true, false) => Standing::Met,
        (false, false) => Standing::Missed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::results::tests::{TWO, results};

    fn judged(goal: &str, ours: &[f64], theirs: &[f64]) -> (Standing, String, String) {
        let text = format!("{TWO}[[goal]]\ntext = 'a goal'\nworkloads = ['work']\n{goal}");
        let values = [("ringlog", ours), ("kafka", theirs)];
        let results = results(&text, "p99_us", &values);
        let all = judge(&results);
        assert_eq!(all.len(), 1);
        (all[0].standing, all[0].measured(), all[0].wanted())
    }

    #[test]
    fn goals_are_met_missed_or_in_doubt() {
        let ratio = "figure = 'p99_us'\nagainst = 'kafka'\nat-most = 0.5\n";
        let theirs = [100.0, 100.0, 100.0];
        for (ours, standing) in [
            (&[40.0, 45.0, 49.0][..], Standing::Met),
            (&[60.0, 61.0, 62.0][..], Standing::Missed),
            (&[40.0, 45.0, 60.0][..], Standing::Unsure(true)),
            (&[40.0, 55.0, 60.0][..], Standing::Unsure(false)),
            (&[][..], Standing::Unmeasured),
        ] {
            assert_eq!(judged(ratio, ours, &theirs).0, standing, "{ours:?}");
        }
    }

    #[test]
    fn goals_are_counted() {
        let goal = "[[goal]]\ntext = 'a'\nworkloads = ['work']\nfigure = 'p99_us'\n";
        let text = format!(
            "{TWO}{goal}at-most = 5.0\n{goal}at-most = 1.0\n{goal}\
                            broker = 'ceiling'\nat-most = 1.0\n"
        );
        let results = results(&text, "p99_us", &[("ringlog", &[3.0])]);
        assert_eq!(tally(&judge(&results)), "1 of 3 met, 1 not measured.");
    }

    #[test]
    fn absolute_goals_have_units() {
        let goal = "figure = 'p99_us'\nat-least = 1500.0\n";
        let (standing, measured, wanted) = judged(goal, &[2000.0], &[]);
        assert_eq!(standing, Standing::Met);
        assert_eq!((measured.as_str(), wanted.as_str()), ("2.00 p99 ms", "≥ 1.50"));
    }
}
