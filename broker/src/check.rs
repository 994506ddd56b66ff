//! `ringlog check`: what the kernel, the limits, the file system and the disk will do to
//! performance, and how to mend it. The findings are `shard`'s; this file prints them.

use std::process::ExitCode;

use ringlog_shard::probe::{self, Level};

use crate::config::Config;

/// Prints every finding; fails if one of them would keep the broker from starting.
pub fn run(config: &Config) -> ExitCode {
    let mut findings = probe::kernel();
    findings.extend(probe::directory(&config.data_dir));
    let mut worst = Level::Ok;
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok   ",
            Level::Slow => "slow ",
            Level::Fatal => "FATAL",
        };
        println!("{mark} {finding}");
        worst = worst.max(finding.level);
    }
    let (shards, mib) = (config.shards, config.memory_per_shard >> 20);
    println!(
        "      would run {shards} shards with {mib} MiB each, data in {}",
        config.data_dir.display()
    );
    match worst {
        Level::Fatal => ExitCode::FAILURE,
        Level::Ok | Level::Slow => ExitCode::SUCCESS,
    }
}
