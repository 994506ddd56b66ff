//! A reader of Prometheus' text format that takes nothing on trust, and of the broker's pages.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Broker, PATIENCE};

/// A sample's name and labels, sorted.
pub type Series = (String, BTreeMap<String, String>);

/// A page that was read.
#[derive(Debug, Default)]
pub struct Page {
    /// Families by name: what they are.
    pub kinds: BTreeMap<String, String>,
    /// Every sample.
    pub samples: BTreeMap<Series, f64>,
}

impl Page {
    /// Reads a page; any line that is not valid fails the test.
    pub fn read(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line ends too");
        let mut page = Page::default();
        let (mut helped, mut family) = (HashSet::new(), String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help");
                assert!(helped.insert(name.to_string()), "{name} has one HELP");
                assert!(!help.is_empty(), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert!(helped.contains(name), "{name}: HELP comes before TYPE");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                let before = page.kinds.insert(name.to_string(), kind.to_string());
                assert_eq!(before, None, "{name} has one TYPE");
                family = name.to_string();
            } else {
                let (series, value) = sample(line);
                let base = match page.kinds[&family].as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|end| series.0.strip_suffix(end))
                        .unwrap_or_else(|| panic!("{line}")),
                    _ => &series.0,
                };
                assert_eq!(base, family, "samples stand with their family: {line}");
                assert_eq!(page.samples.insert(series, value), None, "twice: {line}");
            }
        }
        page.check_histograms();
        page
    }

    fn check_histograms(&self) {
        for name in self.kinds.iter().filter(|(_, kind)| *kind == "histogram").map(|(n, _)| n) {
            let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
            for ((sample, labels), value) in &self.samples {
                if *sample == format!("{name}_bucket") {
                    let mut labels = labels.clone();
                    let bound = labels.remove("le").expect("a bucket has a bound");
                    let bound = bound.parse().expect("a bound is a number");
                    buckets.entry(labels).or_default().push((bound, *value));
                }
            }
            for (labels, mut found) in buckets {
                found.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(found.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}");
                let (last, count) = found[found.len() - 1];
                assert_eq!(last, f64::INFINITY, "{name} {labels:?}");
                assert_eq!(self.samples[&(format!("{name}_count"), labels)], count);
            }
        }
    }

    /// The value of one series.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        self.samples.get(&(name.to_string(), labels.collect())).copied()
    }

    /// The sum of a name's series that have these labels among theirs.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |(series, _): &(&Series, &f64)| {
            let has = |(name, value): &(&str, &str)| {
                series.1.get(*name).is_some_and(|found| found == value)
            };
            series.0 == name && labels.iter().all(has)
        };
        self.samples.iter().filter(fits).map(|(_, value)| value).sum()
    }

    /// Fails if a counter of `self` is smaller in `later`, or gone.
    pub fn check_monotonic(&self, later: &Page) {
        for (series, value) in &self.samples {
            let is_gauge = self.kinds.get(&series.0).is_some_and(|kind| kind == "gauge");
            if !is_gauge {
                let now = later.samples.get(series).copied();
                assert!(now.is_some_and(|now| now >= *value), "{series:?}: {value} → {now:?}");
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line:?}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
            assert!(is_name(label), "{line:?}");
            let (value, after) = quoted(after);
            assert_eq!(labels.insert(label.to_string(), value), None, "{line:?}");
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("{line:?}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line:?}"));
    let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line:?}"));
    ((name.to_string(), labels), value)
}

/// A label's value up to its closing quote, and what follows that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                other => panic!("no such escape: {other:?}"),
            }),
            c => value.push(c),
        }
    }
    panic!("a label without an end: {text:?}");
}

/// Sends `request` and reads to the end: status line and headers, and body.
pub fn exchange(to: SocketAddr, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(to).expect("the control thread listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, then an end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_string(), body.to_string())
}

/// The status and the body of a page.
pub fn get(broker: &Broker, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    let (head, body) = exchange(broker.http(), request.as_bytes());
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    assert_eq!(length, Some(&*body.len().to_string()));
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body)
}

/// The figures, which may be a moment old.
pub fn scrape(broker: &Broker) -> Page {
    let (status, text) = get(broker, "/metrics");
    assert_eq!(status, 200);
    Page::read(&text)
}

/// A page that shows what was done before the call.
pub fn scrape_anew(broker: &Broker) -> Page {
    std::thread::sleep(Duration::from_millis(120));
    scrape(broker)
}
