//! Reports that can be opened by themselves.

use super::*;
use crate::bench::results::tests::{TWO, results};
use crate::process::TemporaryFolder;

fn made() -> Results {
    let goal = "[[goal]]\ntext = 'a goal & more'\nworkloads = ['work']\n\
                figure = 'messages_per_second'\nagainst = 'kafka'\nat-least = 12.0\n";
    let text = format!("{TWO}{goal}");
    let values: [(&str, &[f64]); 2] =
        [("ringlog", &[14e6, 13e6, 15e6]), ("kafka", &[1.9e6, 2e6, 2.1e6])];
    let mut made = results(&text, "messages_per_second", &values);
    for row in &mut made.rows {
        let p999 = if row.broker == "kafka" { 28_000.0 } else { 5_200.0 };
        row.figures.insert("p999_us".into(), p999);
        row.figures.insert("p50_us".into(), 1000.0);
        row.report = serde_json::json!({"latency": {"p50_us": 1000.0, "p99_us": 2000.0}});
    }
    made
}

#[test]
fn the_first_line_answers_the_question() {
    let mut made = made();
    assert_eq!(
        headline(&made).unwrap(),
        "Ringlog: 14 M messages/s at p99.9 5.20 ms, against Apache Kafka 4.3.1's 2 M messages/s \
         at p99.9 28.0 ms: 7.00 times as many (work)."
    );
    made.rows.retain(|row| row.broker == "ringlog");
    assert!(
        headline(&made).unwrap().ends_with("(without Apache Kafka to compare it with) (work).")
    );
    made.rows.clear();
    assert_eq!(headline(&made), None);
}

#[test]
fn a_page_is_whole_and_needs_nothing() {
    let folder = TemporaryFolder::new(&std::env::temp_dir(), "perf-report").unwrap();
    let made = made();
    write(folder.path(), &made).unwrap();
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    for missing in ["<script", "http://", "https://", "src=", "@import", "url("] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(missing), "{missing}");
    }
    for there in ["a goal &amp; more", "MISSED", "prefers-color-scheme", "14,000,000", "<svg"] {
        assert!(page.contains(there), "{there}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    let text = fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(text.contains("| messages/s | 14,000,000 (13,000,000–15,000,000) |"), "{text}");
    assert!(text.contains("![work latency](work-latency.svg)"), "{text}");
    assert!(!folder.path().join("work-bars.svg").exists(), "the page has it");
    for picture in ["overview.svg", "work-latency.svg"] {
        assert!(folder.path().join(picture).is_file(), "{picture}");
    }
}

#[test]
fn names_become_files() {
    assert_eq!(file_name("640 × 100 B/request"), "640---100-B-request");
}
