//! Prometheus' text format, version 0.0.4: `# HELP`, `# TYPE`, then a line for each sample.
//!
//! Invariants: a family is written once, its samples together; whatever a label holds, the line
//! stays one line.

use std::fmt::{Display, Write};

use super::Histogram;

/// What a family's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// The text in the making.
#[derive(Debug, Default)]
pub struct Text {
    out: String,
    family: &'static str,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a str);

impl Text {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = name;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &[Label<'_>], value: impl Display) {
        self.out.push_str(self.family);
        self.labels(labels, None);
        self.line(format_args!(" {value}\n"));
    }

    /// A family of one sample.
    pub fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &'static str,
        value: impl Display,
    ) {
        self.family(name, kind, help);
        self.sample(&[], value);
    }

    /// One histogram of the family.
    pub fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        let name = self.family;
        for (bound, count) in histogram.cumulative() {
            self.line(format_args!("{name}_bucket"));
            self.labels(labels, Some(&bound.to_string()));
            self.line(format_args!(" {count}\n"));
        }
        let count = histogram.count();
        self.line(format_args!("{name}_bucket"));
        self.labels(labels, Some("+Inf"));
        self.line(format_args!(" {count}\n{name}_sum"));
        self.labels(labels, None);
        self.line(format_args!(" {}\n{name}_count", histogram.sum_seconds()));
        self.labels(labels, None);
        self.line(format_args!(" {count}\n"));
    }

    /// All that was written.
    pub fn finish(self) -> String {
        self.out
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes everything");
    }

    fn labels(&mut self, labels: &[Label<'_>], bound: Option<&str>) {
        let bound = bound.map(|bound| ("le", bound));
        let mut open = '{';
        for (name, value) in labels.iter().copied().chain(bound) {
            self.out.push(open);
            self.out.push_str(name);
            self.out.push_str("=\"");
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
            open = ',';
        }
        if open == ',' {
            self.out.push('}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_look_as_prometheus_reads_them() {
        let mut text = Text::default();
        text.family("a_total", Kind::Counter, "What it is.");
        text.sample(&[], 7);
        text.sample(&[("topic", "x\"y\\z\nw"), ("shard", "0")], 1.5);
        let expected = "# HELP a_total What it is.\n# TYPE a_total counter\na_total 7\n\
                        a_total{topic=\"x\\\"y\\\\z\\nw\",shard=\"0\"} 1.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_ends_with_its_sum_and_count() {
        let mut histogram = Histogram::default();
        histogram.record(std::time::Duration::from_millis(500));
        let mut text = Text::default();
        text.family("t_seconds", Kind::Histogram, "Time.");
        text.histogram(&[("request", "Fetch")], &histogram);
        let text = text.finish();
        for line in [
            "t_seconds_bucket{request=\"Fetch\",le=\"0.000064\"} 0",
            "t_seconds_bucket{request=\"Fetch\",le=\"0.524288\"} 1",
            "t_seconds_bucket{request=\"Fetch\",le=\"+Inf\"} 1",
            "t_seconds_sum{request=\"Fetch\"} 0.5",
            "t_seconds_count{request=\"Fetch\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
