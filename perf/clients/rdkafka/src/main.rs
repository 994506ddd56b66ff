//! A librdkafka client that checks a broker.
//!
//! ```text
//! build: cargo build --release --locked        (in this folder; a workspace of its own)
//! start: client-rdkafka --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
//! speed: client-rdkafka --bootstrap HOST:PORT --prefix TOPIC --bench SECONDS --message-bytes N
//! ```
//!
//! Every line of output is one check: `{"check","result","detail","answer"}`. The answer has
//! nothing in it that differs from one broker or run to another, so that two brokers can be
//! compared by it. All topics are made here, through librdkafka's admin client, and their names
//! begin with the prefix. The exit status is 0 whenever the program came to its end. What the crate
//! gives no way to ask (maximum of timestamps, incremental changes of configurations) is left out.

#![forbid(unsafe_code)]
// A program that runs in real time, unlike the state machines this lint is for.
#![allow(clippy::disallowed_methods)]

mod admin;
mod broker;
mod failures;
mod flood;
mod flow;
mod groups;
mod records;
mod transactions;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use broker::Broker;

type Failure = Box<dyn std::error::Error>;

/// What a check found: its answer, or what went wrong.
type Answer = Result<String, Failure>;

/// A check and its name.
#[derive(Clone, Copy)]
struct Check {
    name: &'static str,
    run: fn(&Broker) -> Answer,
}

/// An answer that has to be this one.
fn expect(answer: String, wanted: &str) -> Answer {
    if answer == wanted {
        Ok(answer)
    } else {
        Err(format!("answered {answer:?}, expected {wanted:?}").into())
    }
}

fn run(check: &Check, broker: &Broker) {
    let began = Instant::now();
    let (result, detail, answer) = match (check.run)(broker) {
        Ok(answer) => ("pass", format!("{} ms", began.elapsed().as_millis()), answer),
        Err(failure) => ("fail", failure.to_string(), String::new()),
    };
    let name = check.name;
    let line = serde_json::json!({
        "check": name, "result": result, "detail": detail, "answer": answer,
    });
    println!("{line}");
}

/// Prints how fast the producer was.
fn bench(bootstrap: &str, topic: &str, seconds: &str, message_bytes: Option<&str>) -> ExitCode {
    let duration = seconds.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    let Some((duration, bytes)) = duration.zip(message_bytes.unwrap_or("100").parse().ok()) else {
        eprintln!("client-rdkafka: --bench takes seconds, --message-bytes a number");
        return ExitCode::FAILURE;
    };
    match flood::run(bootstrap, topic, duration, bytes) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("client-rdkafka: {error}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let (Some(bootstrap), Some(prefix)) = (value("--bootstrap"), value("--prefix")) else {
        eprintln!("usage: client-rdkafka --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,...]");
        return ExitCode::FAILURE;
    };
    if let Some(seconds) = value("--bench") {
        return bench(&bootstrap, &prefix, &seconds, value("--message-bytes").as_deref());
    }
    let only = value("--only").unwrap_or_default();
    let chosen: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    let broker = match Broker::new(bootstrap, prefix) {
        Ok(broker) => broker,
        Err(error) => {
            eprintln!("client-rdkafka: {error}");
            return ExitCode::FAILURE;
        }
    };
    let checks =
        [records::CHECKS, admin::CHECKS, failures::CHECKS, groups::CHECKS, transactions::CHECKS];
    for check in checks.concat() {
        if chosen.is_empty() || chosen.contains(&check.name) {
            run(&check, &broker);
        }
    }
    ExitCode::SUCCESS
}
