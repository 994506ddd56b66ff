//! From reports to lines.

use serde_json::json;

use super::*;
use crate::bench::results::tests::{TWO, results};

fn series_of(plot: &Plot) -> Vec<(&str, &[(f64, f64)])> {
    plot.series.iter().map(|series| (series.name.as_str(), &series.points[..])).collect()
}

#[test]
fn curves_are_medians_of_the_rounds() {
    let mut made = results(TWO, "p99_us", &[("ringlog", &[1.0, 2.0, 3.0]), ("kafka", &[9.0])]);
    for (index, row) in made.rows.iter_mut().enumerate() {
        let scale = (index + 1) as f64 * 1000.0;
        row.report = json!({"latency": {"percentiles": [
            [0.0, scale], [90.0, 2.0 * scale], [99.0, 3.0 * scale], [100.0, 9.0 * scale],
        ]}});
    }
    // The last round lacks a place: the line does, too.
    made.rows[2].report["latency"]["percentiles"].as_array_mut().unwrap().remove(1);
    let workload = &made.head.experiment.workloads[0];
    let plot = percentiles(&made, workload, "", "latency");
    let expected: [(&str, &[(f64, f64)]); 2] = [
        ("Ringlog", &[(0.0, 2.0), (99.0, 6.0)]),
        ("Apache Kafka 4.3.1", &[(0.0, 4.0), (90.0, 8.0), (99.0, 12.0)]),
    ];
    assert_eq!(series_of(&plot), expected);
    assert_eq!(plot.series[0].range, [(1.0, 3.0), (3.0, 9.0)]);
    let kinds: Vec<String> = charts(&made, workload).into_iter().map(|c| c.kind).collect();
    assert!(kinds.contains(&"latency".to_string()), "{kinds:?}");
}

#[test]
fn reports_without_a_curve_have_a_few_points() {
    let latency = json!({"p50_us": 1000.0, "p99_us": 4000.0, "max_us": 1.0});
    assert_eq!(curve(Some(&latency)), [(50.0, 1.0), (99.0, 4.0)]);
    assert!(curve(None).is_empty() && curve(Some(&json!({"percentiles": "no"}))).is_empty());
}

#[test]
fn sweeps_are_drawn_by_the_rate_that_was_reached() {
    let figure = "knee_messages_per_second";
    let mut made = results(TWO, figure, &[("ringlog", &[5.0, 3.0, 4.0])]);
    for row in &mut made.rows {
        let knee = row.figures[figure];
        row.report = json!({"steps": [
            {"rate": 20.0, "messages_per_second": 2.0 * knee, "latency": {"p99_us": 7000.0}},
            {"rate": 10.0, "messages_per_second": knee, "p99_us": 5000.0},
            {"rate": "no"},
        ]});
    }
    let plot = sweep(&made, &made.head.experiment.workloads[0]);
    // Of the round with the median knee, in order of rate.
    let expected: [(&str, &[(f64, f64)]); 1] = [("Ringlog p99", &[(4.0, 5.0), (8.0, 7.0)])];
    assert_eq!(series_of(&plot), expected);
}

#[test]
fn seconds_are_drawn_as_they_were() {
    let mut made = results(TWO, "messages_per_second", &[("kafka", &[5.0])]);
    made.rows[0].report = json!({"series": [
        {"t": 1.0, "messages": 10, "p99_us": 2000.0}, {"t": 1.5, "messages": 30, "p99_us": 4000.0},
    ]});
    let workload = &made.head.experiment.workloads[0];
    let rate = series(&made, workload, "messages", "rate");
    assert_eq!(rate.series[0].points, [(1.0, 10.0), (1.5, 60.0)]);
    let latency = series(&made, workload, "p99_us", "p99");
    assert_eq!(latency.series[0].points, [(1.0, 2.0), (1.5, 4.0)]);
    assert_eq!((rate.y, latency.y), (Scale::Linear, Scale::Log));
}

#[test]
fn the_overview_turns_latencies_around() {
    let open = TWO.replace("'produce'", "'produce'\noptions = '--rate 5'");
    let values: [(&str, &[f64]); 2] = [("ringlog", &[10.0, 10.0]), ("kafka", &[200.0, 400.0])];
    let made = results(&open, "p99_us", &values);
    let (svg, _) = overview(&made, "ringlog", "kafka").unwrap();
    assert!(svg.contains("30.0 × better p99 ms"), "{svg}");
    let made = results(TWO, "messages_per_second", &values);
    let (svg, _) = overview(&made, "ringlog", "kafka").unwrap();
    assert!(svg.contains("0.033 × better messages/s"), "{svg}");
    assert!(overview(&made, "ringlog", "ceiling").is_none());
}
