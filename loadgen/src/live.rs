//! What is seen of a run while it goes on: on a terminal a table that is rewritten each second,
//! elsewhere one plain line for each second and kind of work.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::meter::Second;
use crate::options::Common;
use crate::report::{grouped, time};

/// The view is looked after this often; what it shows are whole seconds.
const INTERVAL: Duration = Duration::from_millis(250);
/// Seconds that the small graph of rates shows.
const GRAPH_SECONDS: usize = 24;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One second of one kind of work.
#[derive(Clone, Debug)]
pub struct Row {
    /// The work.
    pub name: &'static str,
    /// Whether it does not count yet.
    pub is_warm_up: bool,
    /// What happened.
    pub second: Second,
}

/// The view on stderr.
#[derive(Debug)]
pub struct Live {
    is_shown: bool,
    is_terminal: bool,
    duration: Option<f64>,
    next: Instant,
    table: Table,
}

impl Live {
    /// On a terminal it is shown; elsewhere unless JSON was asked for without --progress.
    pub fn new(common: &Common) -> Live {
        let is_terminal = std::io::stderr().is_terminal();
        Live {
            is_shown: is_terminal || common.progress || !common.json,
            is_terminal,
            duration: common.duration,
            next: Instant::now() + INTERVAL,
            table: Table::default(),
        }
    }

    /// Shows what has ended, if it is time for that.
    pub fn show(&mut self, now: Instant, rows: impl FnOnce() -> Vec<Row>) {
        if now < self.next || !self.is_shown {
            return;
        }
        self.next = now + INTERVAL;
        let rows = rows();
        if rows.is_empty() {
            return;
        }
        let text = if self.is_terminal {
            self.table.redraw(&rows, self.duration)
        } else {
            rows.iter().map(plain).collect()
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Clears the table: the report follows.
    pub fn end(&mut self) {
        if self.is_terminal {
            let _ = std::io::stderr().write_all(self.table.erase().as_bytes());
        }
    }
}

/// One line that says it all.
fn plain(row: &Row) -> String {
    let Row { name, is_warm_up, second } = row;
    let warm_up = if *is_warm_up { " (warm-up)" } else { "" };
    let (messages, megabytes) = rates(second);
    let [p50, p99, p999, max] = latencies(second);
    format!(
        "{:.0} s {name}{warm_up}: {messages} msg/s  {megabytes} MB/s  p50 {p50}  p99 {p99}  \
         p99.9 {p999}  max {max}  errors {}\n",
        second.t, second.errors
    )
}

fn rates(second: &Second) -> (String, String) {
    let seconds = second.seconds.max(1e-9);
    let messages = grouped((second.messages as f64 / seconds) as u64);
    (messages, format!("{:.1}", second.bytes as f64 / 1e6 / seconds))
}

fn latencies(second: &Second) -> [String; 4] {
    [second.p50_us, second.p99_us, second.p999_us, second.max_us].map(time)
}

/// The table on a terminal.
#[derive(Debug, Default)]
struct Table {
    lines: usize,
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    row: Row,
    errors: u64,
    rates: Vec<f64>,
}

impl Table {
    fn redraw(&mut self, rows: &[Row], duration: Option<f64>) -> String {
        for row in rows {
            let name = row.name;
            let at =
                self.kinds.iter().position(|kind| kind.row.name == name).unwrap_or_else(|| {
                    self.kinds.push(Kind { row: row.clone(), errors: 0, rates: Vec::new() });
                    self.kinds.len() - 1
                });
            let kind = &mut self.kinds[at];
            kind.row = row.clone();
            kind.errors += row.second.errors;
            kind.rates.push(row.second.messages as f64 / row.second.seconds.max(1e-9));
            if kind.rates.len() > GRAPH_SECONDS {
                kind.rates.remove(0);
            }
        }
        // Long lines are cut off, not wrapped: the lines to go back over are counted.
        let mut text = self.erase() + "\x1b[?7l";
        text += &head(&self.kinds[0].row, duration);
        for Kind { row, errors, rates: seen } in &self.kinds {
            let (messages, megabytes) = rates(&row.second);
            let [p50, p99, p999, max] = latencies(&row.second);
            text += &format!(
                "{:<11}{messages:>13}{megabytes:>10}{p50:>10}{p99:>10}{p999:>10}{max:>10}\
                 {errors:>8}  {}\n",
                row.name,
                graph(seen)
            );
        }
        text += "\x1b[?7h";
        self.lines = self.kinds.len() + 1;
        text
    }

    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.lines) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }
}

fn head(row: &Row, duration: Option<f64>) -> String {
    let left = match (row.is_warm_up, duration) {
        (true, _) => "warm-up".to_owned(),
        (false, Some(duration)) => format!("{:.0}/{duration:.0} s", row.second.t),
        (false, None) => format!("{:.0} s", row.second.t),
    };
    format!(
        "{left:<11}{:>13}{:>10}{:>10}{:>10}{:>10}{:>10}{:>8}\n",
        "msg/s", "MB/s", "p50", "p99", "p99.9", "max", "errors"
    )
}

/// The rates of the last seconds, against the highest of them.
fn graph(rates: &[f64]) -> String {
    let top = rates.iter().copied().fold(1e-9, f64::max);
    let bar = |rate: &f64| BARS[((rate / top * 7.0).round() as usize).min(7)];
    rates.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &'static str, messages: u64) -> Row {
        let second = Second {
            t: 3.0,
            seconds: 1.0,
            messages,
            bytes: 2_500_000,
            p50_us: 120.0,
            p99_us: 1_500.0,
            p999_us: 20_000.0,
            max_us: 2.5e6,
            errors: 2,
        };
        Row { name, is_warm_up: false, second }
    }

    #[test]
    fn a_plain_line_says_it_all() {
        let expected = "3 s produce: 25,000 msg/s  2.5 MB/s  p50 120 µs  p99 1.50 ms  \
                        p99.9 20.0 ms  max 2.50 s  errors 2\n";
        assert_eq!(plain(&row("produce", 25_000)), expected);
    }

    #[test]
    fn the_table_is_written_over_itself() {
        let mut table = Table::default();
        let first = table.redraw(&[row("produce", 10), row("fetch", 10)], Some(30.0));
        assert!(first.starts_with("\x1b[?7l3/30 s"), "{first:?}");
        assert_eq!(first.matches('\n').count(), 3);
        let second = table.redraw(&[row("produce", 20)], Some(30.0));
        assert!(second.starts_with("\x1b[3A\r\x1b[J"), "{second:?}");
        assert!(second.contains("       4  ▅█"), "errors add up, rates are drawn: {second:?}");
        assert_eq!(table.erase(), "\x1b[3A\r\x1b[J");
        assert_eq!(table.erase(), "");
    }

    #[test]
    fn the_graph_spans_from_nothing_to_the_highest() {
        assert_eq!(graph(&[0.0, 50.0, 100.0]), "▁▅█");
        assert_eq!(graph(&[0.0]), "▁");
    }
}
