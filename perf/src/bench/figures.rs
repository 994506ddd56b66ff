//! The figures that a run may yield: their names in rows and goals, and how people read them.

use std::collections::BTreeMap;

use serde_json::Value;

/// Which way a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More of it.
    Higher,
    /// Less of it.
    Lower,
    /// It explains, and is no merit.
    Neither,
}

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// In `rows.jsonl` and in goals.
    pub name: &'static str,
    /// In tables, with its unit.
    pub title: &'static str,
    /// From the unit of rows to that of tables.
    pub scale: f64,
    /// Which way it is better.
    pub better: Better,
}

const fn figure(name: &'static str, title: &'static str, scale: f64, better: Better) -> Figure {
    Figure { name, title, scale, better }
}

use Better::{Higher, Lower, Neither};

/// All of them, in the order of tables.
pub const FIGURES: [Figure; 37] = [
    figure("messages_per_second", "messages/s", 1.0, Higher),
    figure("requests_per_second", "requests/s", 1.0, Higher),
    figure("megabytes_per_second", "MB/s", 1.0, Higher),
    figure("knee_messages_per_second", "messages/s at the knee", 1.0, Higher),
    figure("produced_messages_per_second", "produced messages/s", 1.0, Higher),
    figure("fetched_messages_per_second", "fetched messages/s", 1.0, Higher),
    figure("cpu_seconds_per_gb", "broker CPU s/GB", 1.0, Lower),
    figure("cpu_percent", "broker CPU, % of a core", 1.0, Lower),
    figure("client_cpu_percent", "client CPU, % of a core", 1.0, Neither),
    figure("mean_us", "mean ms", 1e-3, Lower),
    figure("p50_us", "p50 ms", 1e-3, Lower),
    figure("p90_us", "p90 ms", 1e-3, Lower),
    figure("p99_us", "p99 ms", 1e-3, Lower),
    figure("p999_us", "p99.9 ms", 1e-3, Lower),
    figure("p9999_us", "p99.99 ms", 1e-3, Lower),
    figure("max_us", "max ms", 1e-3, Lower),
    figure("produce_p50_us", "produce p50 ms", 1e-3, Lower),
    figure("produce_p99_us", "produce p99 ms", 1e-3, Lower),
    figure("produce_p999_us", "produce p99.9 ms", 1e-3, Lower),
    figure("fetch_p50_us", "fetch p50 ms", 1e-3, Lower),
    figure("fetch_p99_us", "fetch p99 ms", 1e-3, Lower),
    figure("fetch_p999_us", "fetch p99.9 ms", 1e-3, Lower),
    figure("end_to_end_p50_us", "end-to-end p50 ms", 1e-3, Lower),
    figure("end_to_end_p99_us", "end-to-end p99 ms", 1e-3, Lower),
    figure("end_to_end_p999_us", "end-to-end p99.9 ms", 1e-3, Lower),
    figure("unsent_percent", "due and never sent, %", 1.0, Lower),
    figure("errors", "errors", 1.0, Lower),
    figure("catch_up_megabytes_per_second", "older data read, MB/s", 1.0, Higher),
    figure("beside_megabytes_per_second", "the other load's MB/s", 1.0, Neither),
    figure("switches_per_request", "context switches per request", 1.0, Lower),
    figure("switches_per_thousand", "context switches per 1,000 messages", 1.0, Lower),
    figure("syscalls_per_request", "syscalls per request", 1.0, Lower),
    figure("syscalls_per_thousand", "syscalls per 1,000 messages", 1.0, Lower),
    figure("disk_bytes_per_byte", "disk bytes written per byte produced", 1.0, Lower),
    figure("resident_mib", "resident MiB", 1.0, Lower),
    figure("start_ms", "listens after ms", 1.0, Lower),
    figure("idle_percent", "idle, % of a core", 1.0, Lower),
];

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// The figure of that name.
pub fn find(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// Whether there is a figure of that name.
pub fn is_known(name: &str) -> bool {
    find(name).is_some()
}

/// What a report of the load generator yields. Fields that are absent yield nothing.
pub fn of_loadgen(report: &Value) -> Figures {
    let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
    let mut found = Figures::new();
    let mut keep = |name: &str, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            found.insert(name.to_string(), value);
        }
    };
    keep("messages_per_second", number("/messages_per_second"));
    keep("megabytes_per_second", number("/megabytes_per_second"));
    keep("knee_messages_per_second", number("/knee"));
    let seconds = number("/seconds").filter(|seconds| *seconds > 0.0);
    let per_second = |value: Option<f64>| Some(value? / seconds?);
    keep("requests_per_second", per_second(number("/requests")));
    keep("client_cpu_percent", per_second(number("/cpu_seconds")).map(|share| share * 100.0));
    for name in ["mean_us", "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us"] {
        keep(name, number(&format!("/latency/{name}")));
    }
    for (kind, object) in [
        ("produce", "/produce/latency"),
        ("fetch", "/fetch/latency"),
        ("end_to_end", "/end_to_end/latency"),
        ("end_to_end", "/end_to_end_latency"),
    ] {
        for name in ["p50_us", "p99_us", "p999_us"] {
            keep(&format!("{kind}_{name}"), number(&format!("{object}/{name}")));
        }
    }
    keep("produced_messages_per_second", number("/produce/messages_per_second"));
    keep("fetched_messages_per_second", number("/fetch/messages_per_second"));
    keep("catch_up_megabytes_per_second", number("/catch_up/megabytes_per_second"));
    let due = Some(number("/unsent").unwrap_or(0.0)).zip(number("/requests"));
    let unsent = due.filter(|(unsent, _)| *unsent > 0.0);
    keep("unsent_percent", unsent.map(|(unsent, sent)| unsent / (unsent + sent) * 100.0));
    let errors = report.get("errors").and_then(Value::as_object);
    let errors: f64 = errors.into_iter().flatten().filter_map(|(_, count)| count.as_f64()).sum();
    keep("errors", (errors > 0.0).then_some(errors));
    found
}

/// Everything that was moved, the warm-up included: what the broker worked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Messages.
    pub messages: f64,
    /// Bytes of their record batches, each time that they were moved.
    pub bytes: f64,
    /// Of these, those that were written; of a client that only reads, none of them is.
    pub written: f64,
    /// Requests; 0: not known.
    pub requests: f64,
}

impl Moved {
    /// `None`: the report does not say, or nothing was moved.
    pub fn of_loadgen(report: &Value) -> Option<Self> {
        let number = |path: &str| report.pointer(path).and_then(Value::as_f64);
        let measured = number("/messages").filter(|messages| *messages > 0.0)?;
        let messages = number("/messages_total").unwrap_or(measured);
        let scale = messages / measured;
        let written = number("/bytes")? * scale;
        let read: f64 = ["/fetch/bytes", "/catch_up/bytes"].into_iter().filter_map(number).sum();
        let requests = ["/requests", "/fetch/requests", "/catch_up/requests"];
        let requests: f64 = requests.into_iter().filter_map(number).sum();
        let (bytes, requests) = (written + read * scale, requests * scale);
        Some(Self { messages, bytes, written, requests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_yields_what_it_has() {
        let report = serde_json::json!({
            "messages": 1000, "messages_total": 1500, "bytes": 100_000, "requests": 10,
            "seconds": 2.0, "messages_per_second": 500.0, "cpu_seconds": 1.0,
            "latency": {"p50_us": 7.0, "p99_us": null}, "errors": {"A": 2, "B": 3}, "unsent": 30,
            "fetch": {
                "latency": {"p99_us": 9.0}, "messages_per_second": 4.0, "bytes": 200_000,
                "requests": 2,
            },
        });
        let found = of_loadgen(&report);
        let expected = [
            ("client_cpu_percent", 50.0),
            ("errors", 5.0),
            ("fetch_p99_us", 9.0),
            ("fetched_messages_per_second", 4.0),
            ("messages_per_second", 500.0),
            ("p50_us", 7.0),
            ("requests_per_second", 5.0),
            ("unsent_percent", 75.0),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_string(), value)).into());
        let (bytes, written) = (450_000.0, 150_000.0);
        let moved = Moved { messages: 1500.0, bytes, written, requests: 18.0 };
        assert_eq!(Moved::of_loadgen(&report), Some(moved));
        assert_eq!(Moved::of_loadgen(&serde_json::json!({"messages": 0})), None);
    }

    #[test]
    fn every_figure_that_is_read_is_known() {
        let latency = serde_json::json!({
            "mean_us": 1, "p50_us": 1, "p90_us": 1, "p99_us": 1, "p999_us": 1, "p9999_us": 1,
            "max_us": 1,
        });
        let part = serde_json::json!({"latency": latency, "messages_per_second": 1});
        let report = serde_json::json!({
            "messages_per_second": 1, "megabytes_per_second": 1, "knee": 1, "seconds": 1,
            "requests": 1, "cpu_seconds": 1, "latency": latency, "produce": part, "fetch": part,
            "end_to_end": part, "catch_up": {"megabytes_per_second": 1}, "unsent": 1,
            "errors": {"A": 1},
        });
        let found = of_loadgen(&report);
        assert_eq!(found.len(), 26);
        assert!(found.keys().all(|name| is_known(name)), "{found:?}");
    }
}
