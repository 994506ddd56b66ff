//! Open loop at rising rates, to find the knee: the highest rate that is held within a bound of the
//! 99th percentile.
//!
//! Rates grow by a factor until one fails; then the space between the last that passed and the
//! first that failed is halved a few times. Each rate is a run of its own, with connections of its
//! own.

use std::fmt::Write;

use serde::Serialize;

use crate::error::Error;
use crate::interrupt;
use crate::machine::{BUILD, Build, Host};
use crate::options::{ProduceOptions, SweepOptions};
use crate::produce;
use crate::report::{Latency, Report, grouped, time};

/// A rate is held when this part of it was acknowledged.
pub const HELD: f64 = 0.99;

/// What one rate gave.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Messages a second that were asked for.
    pub rate: f64,
    /// Messages a second that were acknowledged.
    pub messages_per_second: f64,
    /// Millions of bytes of record batches a second.
    pub megabytes_per_second: f64,
    /// Half of the latencies were at most this.
    pub p50_us: f64,
    /// 99 % were at most this.
    pub p99_us: f64,
    /// 99.9 % were at most this.
    pub p999_us: f64,
    /// All were at most this.
    pub max_us: f64,
    /// All of them.
    pub latency: Latency,
    /// CPU seconds of this program's thread.
    pub cpu_seconds: f64,
    /// Whether the rate was held.
    pub is_held: bool,
    /// Whether it was held with the 99th percentile within the bound.
    pub is_good: bool,
}

/// What a sweep found.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// `sweep`.
    pub workload: &'static str,
    /// Rate by rate, in the order in which they were run.
    pub steps: Vec<Step>,
    /// The highest rate that was good; `None` when none was.
    pub knee: Option<f64>,
    /// The bound.
    pub p99_max_us: f64,
    /// Whether Ctrl-C ended it early.
    pub stopped: bool,
    /// Why it failed, when it did.
    pub failure: Option<String>,
    /// Where it ran.
    pub host: Host,
    /// What ran.
    pub loadgen: Build,
    /// The options.
    pub options: SweepOptions,
}

/// The rates to try: what to try next depends on how the ones before fared.
#[derive(Clone, Copy, Debug)]
struct Search {
    good: Option<f64>,
    bad: Option<f64>,
    next: f64,
    growth: f64,
    rate_max: f64,
    halvings: u32,
}

impl Search {
    fn new(options: &SweepOptions) -> Search {
        Search {
            good: None,
            bad: None,
            next: options.from_rate,
            growth: options.growth,
            rate_max: options.to_rate.unwrap_or(f64::INFINITY),
            halvings: options.halvings,
        }
    }

    /// The rate that was tried was good, or not. Returns what to try next, if anything.
    fn tried(&mut self, is_good: bool) -> Option<f64> {
        match is_good {
            true => self.good = Some(self.next),
            false => self.bad = Some(self.next),
        }
        self.next = match (self.good, self.bad) {
            (Some(good), None) if good < self.rate_max => (good * self.growth).min(self.rate_max),
            (Some(good), Some(bad)) if self.halvings > 0 => {
                self.halvings -= 1;
                (good * bad).sqrt()
            }
            _ => return None,
        };
        Some(self.next)
    }
}

/// Runs `ringlog-loadgen sweep`. An `Err` is a sweep that could not start; one that failed later
/// says so in its report.
pub fn run(options: &SweepOptions) -> Result<Sweep, Error> {
    options.check()?;
    let p99_max_us = options.p99_max_ms * 1e3;
    let mut sweep = Sweep {
        workload: "sweep",
        steps: Vec::new(),
        knee: None,
        p99_max_us,
        stopped: false,
        failure: None,
        host: Host::here(),
        loadgen: BUILD,
        options: options.clone(),
    };
    let mut search = Search::new(options);
    let mut next = Some(search.next);
    while let Some(rate) = next {
        let report = match produce::run(&options.at(rate)) {
            Ok(report) => report,
            Err(error) if sweep.steps.is_empty() => return Err(error),
            Err(error) => {
                sweep.failure = Some(error.to_string());
                break;
            }
        };
        sweep.stopped = interrupt::was_asked();
        sweep.failure.clone_from(&report.failure);
        if sweep.stopped || sweep.failure.is_some() {
            break;
        }
        let step = step(rate, p99_max_us, &report);
        next = search.tried(step.is_good);
        sweep.steps.push(step);
    }
    sweep.knee = search.good;
    Ok(sweep)
}

fn step(rate: f64, p99_max_us: f64, report: &Report<ProduceOptions>) -> Step {
    let is_held = report.messages_per_second >= rate * HELD;
    let latency = report.latency.clone().unwrap_or_default();
    Step {
        rate,
        messages_per_second: report.messages_per_second,
        megabytes_per_second: report.megabytes_per_second,
        p50_us: latency.p50_us,
        p99_us: latency.p99_us,
        p999_us: latency.p999_us,
        max_us: latency.max_us,
        cpu_seconds: report.cpu_seconds,
        is_held,
        is_good: is_held && latency.count > 0 && latency.p99_us <= p99_max_us,
        latency,
    }
}

impl Sweep {
    /// Whether every rate could be run.
    pub fn is_success(&self) -> bool {
        self.failure.is_none()
    }

    /// One JSON object on one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("a report holds nothing that JSON cannot")
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:>13}{:>13}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "asked msg/s", "msg/s", "MB/s", "p50", "p99", "p99.9", "max"
        );
        let mut steps: Vec<&Step> = self.steps.iter().collect();
        steps.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        for step in steps {
            let verdict = match (step.is_good, step.is_held) {
                (true, _) => "",
                (false, true) => "  too slow",
                (false, false) => "  not held",
            };
            let _ = write!(
                text,
                "\n{:>13}{:>13}{:>10.1}{:>10}{:>10}{:>10}{:>10}{verdict}",
                grouped(step.rate as u64),
                grouped(step.messages_per_second as u64),
                step.megabytes_per_second,
                time(step.p50_us),
                time(step.p99_us),
                time(step.p999_us),
                time(step.max_us)
            );
        }
        let bound = time(self.p99_max_us);
        let _ = match self.knee {
            Some(knee) => {
                write!(text, "\nthe knee: {} msg/s with p99 within {bound}", grouped(knee as u64))
            }
            None => write!(text, "\nno rate was held with p99 within {bound}"),
        };
        if self.stopped {
            text += "\nstopped early";
        }
        if let Some(failure) = &self.failure {
            let _ = write!(text, "\nfailed: {failure}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(limit: f64, rate_max: f64, halvings: u32) -> (Vec<u64>, Option<f64>) {
        let mut search =
            Search { good: None, bad: None, next: 100.0, growth: 2.0, rate_max, halvings };
        let mut rates = vec![100];
        while let Some(rate) = search.tried(search.next <= limit) {
            rates.push(rate.round() as u64);
        }
        (rates, search.good)
    }

    #[test]
    fn the_knee_is_closed_in_on_from_both_sides() {
        let (rates, knee) = tries(500.0, f64::INFINITY, 3);
        assert_eq!(rates, [100, 200, 400, 800, 566, 476, 519]);
        assert!((knee.unwrap() - 475.7).abs() < 0.1, "{knee:?}");
        assert_eq!(tries(500.0, f64::INFINITY, 0), (vec![100, 200, 400, 800], Some(400.0)));
    }

    #[test]
    fn it_ends_at_the_highest_rate_and_when_the_first_fails() {
        assert_eq!(tries(1e9, 300.0, 3), (vec![100, 200, 300], Some(300.0)));
        assert_eq!(tries(50.0, 300.0, 3), (vec![100], None));
    }
}
