//! How long a message takes to arrive: producers and one consumer, which checks what it reads.
//!
//! Latency counts from when a message was (meant to be) sent, so a late send shows. The run ends
//! when all that was acknowledged has been read.

use crate::error::Error;
use crate::mix::{self, Reading};
use crate::options::EndToEndOptions;
use crate::report::Report;

/// Runs `ringlog-loadgen end-to-end`. An `Err` is a run that could not start; one that failed later
/// says so in its report.
pub fn run(options: &EndToEndOptions) -> Result<Report<EndToEndOptions>, Error> {
    options.check()?;
    let mut common = options.common.clone();
    common.verify = true;
    let tail = Reading {
        consumers: 1,
        connections: Some(options.consumer_connections.unwrap_or(common.connections)),
        options: &options.consuming,
    };
    mix::measure("end-to-end", &common, &options.producing, &tail, None, options.clone())
}
