//! `ringlog-loadgen`: makes load for any Kafka-compatible broker and checks what comes back.
#![forbid(unsafe_code)]
// This program measures from outside: time, sockets and files are its business.
#![allow(clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ringlog_loadgen::options::{
    Common, ConsumeOptions, EndToEndOptions, MixOptions, ProduceOptions, SweepOptions,
};
use ringlog_loadgen::report::Report;
use ringlog_loadgen::sink::Sink;
use ringlog_loadgen::{Error, consume, end_to_end, mix, produce, sweep};
use serde::Serialize;

/// Makes load for a Kafka-compatible broker, measures latency, and checks what it reads.
///
/// Exits with 0 when all went well, with 1 when the run or a check failed, with 2 when the options
/// make no sense.
#[derive(Parser)]
#[command(name = "ringlog-loadgen", version)]
struct Cli {
    #[command(subcommand)]
    workload: Workload,
}

#[derive(Subcommand)]
enum Workload {
    /// Write messages and measure how long their acknowledgements take
    Produce(ProduceOptions),
    /// Read messages, measure how long fetches take, and check what is read
    Consume(ConsumeOptions),
    /// Write and read at the same time, and measure how long messages take to arrive
    EndToEnd(EndToEndOptions),
    /// Write and read in one run: producers, consumers at the tail, and readers of older data
    Mix(MixOptions),
    /// Write at rising rates until one is not held, or its latency passes a bound
    Sweep(SweepOptions),
    /// Take in what `produce --bare` sends, to measure the client alone
    Sink {
        /// Where to listen
        #[arg(long, default_value = "127.0.0.1:9192")]
        listen: SocketAddr,
        /// Run on this processor only
        #[arg(long, value_name = "N")]
        cpu: Option<usize>,
    },
}

fn main() -> ExitCode {
    match Cli::parse().workload {
        Workload::Produce(options) => run(&options.common, || produce::run(&options)),
        Workload::Consume(options) => run(&options.common, || consume::run(&options)),
        Workload::Mix(options) => run(&options.common, || mix::run(&options)),
        Workload::EndToEnd(options) => run(&options.common, || end_to_end::run(&options)),
        Workload::Sweep(options) => find_knee(&options),
        Workload::Sink { listen, cpu } => take_in(listen, cpu),
    }
}

fn run<Options: Serialize>(
    common: &Common,
    workload: impl FnOnce() -> Result<Report<Options>, Error>,
) -> ExitCode {
    match pin(common).and_then(|()| workload()) {
        Ok(report) => {
            tell(if common.json { report.json() } else { report.text() }, report.is_success())
        }
        Err(error) => refuse(&error),
    }
}

fn find_knee(options: &SweepOptions) -> ExitCode {
    let common = &options.produce.common;
    match pin(common).and_then(|()| sweep::run(options)) {
        Ok(sweep) => {
            tell(if common.json { sweep.json() } else { sweep.text() }, sweep.is_success())
        }
        Err(error) => refuse(&error),
    }
}

fn tell(text: String, is_success: bool) -> ExitCode {
    println!("{text}");
    if is_success { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn pin(common: &Common) -> Result<(), Error> {
    match common.cpu {
        Some(id) if !core_affinity::set_for_current(core_affinity::CoreId { id }) => {
            Err(Error::Usage(format!("--cpu {id}: this process may not run on that processor")))
        }
        _ => Ok(()),
    }
}

fn refuse(error: &Error) -> ExitCode {
    eprintln!("ringlog-loadgen: {error}");
    ExitCode::from(if matches!(error, Error::Usage(_)) { 2 } else { 1 })
}

fn take_in(listen: SocketAddr, cpu: Option<usize>) -> ExitCode {
    match Sink::start(listen, cpu) {
        Ok(sink) => {
            println!("listening at {}", sink.address());
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        Err(error) => refuse(&error),
    }
}
