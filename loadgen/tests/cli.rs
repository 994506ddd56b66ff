//! The program itself: signals, exit codes, what it prints and writes.

// This test starts processes and reads files.
#![allow(clippy::disallowed_methods)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ringlog_loadgen::sink::Sink;
use serde_json::Value;

fn loadgen(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog-loadgen"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it against a sink, and sends it a signal after so long.
fn signalled(words: &[&str], signal: &str, after: Duration) -> Output {
    let sink = Sink::start("127.0.0.1:0".parse().unwrap(), None).unwrap();
    let address = sink.address().to_string();
    let child = loadgen(&[&["produce", "--bare", "--bootstrap", &address], words].concat())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    child.wait_with_output().unwrap()
}

#[test]
fn a_run_that_is_stopped_reports_what_it_has() {
    for signal in ["-INT", "-TERM"] {
        let path = std::env::temp_dir().join(format!("ringlog-cli-{}{signal}", std::process::id()));
        let path = path.to_str().unwrap();
        let words = ["--duration", "60", "--json", "--progress", "--hdr-log", path];
        let began = Instant::now();
        let output = signalled(&words, signal, Duration::from_millis(2_500));
        assert!(began.elapsed() < Duration::from_secs(20));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{signal}: {} {said}", output.status);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["stopped"], &json["failure"]), (&Value::Bool(true), &Value::Null));
        assert!(json["messages"].as_u64().unwrap() > 0);
        let series = json["series"].as_array().unwrap();
        assert!(series.len() >= 2, "{series:?}");
        let sum: u64 = series.iter().map(|second| second["messages"].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), json["messages"].as_u64());
        assert_eq!(json["latency"]["percentiles"].as_array().unwrap().len(), 61);
        assert!(json["host"]["kernel"].is_string() && json["loadgen"]["commit"].is_string());
        assert!(said.contains(" s produce: ") && said.contains("  p99.9 "), "{said}");
        let log = std::fs::read_to_string(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(log.matches("\nTag=produce,").count(), series.len(), "{log}");
    }
}

#[test]
fn contradictions_are_told_and_exit_with_2() {
    for words in [
        &["produce", "--duration", "1", "--linger-ms", "5"][..],
        &["produce", "--duration", "1", "--keys", "zipf:0"],
        &["produce", "--duration", "1", "--compression", "lzma"],
        &["consume", "--isolation", "serializable"],
        &["mix", "--duration", "1", "--acks", "0"],
        &["sweep", "--rate", "1"],
    ] {
        let output = loadgen(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(
            said.contains(words.iter().rfind(|word| word.starts_with("--")).unwrap()),
            "{said}"
        );
    }
}

#[test]
fn a_broker_that_is_not_there_is_a_failure_with_1() {
    let words = ["produce", "--duration", "1", "--bootstrap", "127.0.0.1:1"];
    let output = loadgen(&words).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("connect to 127.0.0.1:1"));
}
