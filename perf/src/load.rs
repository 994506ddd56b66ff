//! Runs of `ringlog-loadgen`, each a process of its own on its own core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Failure;
use crate::process;

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Latency {
    /// Half were at most this.
    pub p50_us: f64,
    /// 99 % were at most this.
    pub p99_us: f64,
    /// 99.9 % were at most this.
    pub p999_us: f64,
}

/// What experiments read of the load generator's JSON.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Messages acknowledged or read while measuring.
    pub messages: u64,
    /// Messages, the warm-up included.
    pub messages_total: u64,
    /// While measuring.
    pub messages_per_second: f64,
    /// Millions of bytes of record batches a second.
    pub megabytes_per_second: f64,
    /// Of the answers.
    pub latency: Option<Latency>,
    /// Connections made again after one was lost.
    pub reconnections: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Requests of the connection that was served least; of producers only.
    pub served_least: Option<u64>,
    /// Requests of the connection that was served most.
    pub served_most: Option<u64>,
    /// What `--verify` found.
    pub verification: Option<Value>,
    /// Everything, as it was printed.
    #[serde(skip)]
    pub raw: Value,
}

impl Report {
    fn parse(text: &str) -> Result<Self, Failure> {
        let unreadable = |error| format!("the load generator's JSON: {error}\n{text}");
        let raw: Value = serde_json::from_str(text.trim()).map_err(unreadable)?;
        let mut report: Self = serde_json::from_value(raw.clone()).map_err(unreadable)?;
        report.raw = raw;
        Ok(report)
    }
}

/// The load generator, built.
#[derive(Clone, Debug)]
pub struct Loadgen {
    program: PathBuf,
    cpu: Option<usize>,
}

impl Loadgen {
    /// `binaries` holds the program; `cpu` is where it runs.
    pub fn new(binaries: &Path, cpu: Option<usize>) -> Self {
        Self { program: binaries.join("ringlog-loadgen"), cpu }
    }

    /// `workload` and the arguments of all workloads, then those of this one.
    pub fn command(&self, workload: &str, bootstrap: SocketAddr, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).arg(workload);
        command.args(["--bootstrap", &bootstrap.to_string(), "--json"]);
        if let Some(cpu) = self.cpu {
            command.args(["--cpu", &cpu.to_string()]);
        }
        command.args(arguments);
        command
    }

    /// Runs a workload to its end.
    pub fn run(
        &self,
        workload: &str,
        bootstrap: SocketAddr,
        arguments: &[&str],
    ) -> Result<Report, Failure> {
        Report::parse(&process::output_of(&mut self.command(workload, bootstrap, arguments))?)
    }

    /// Runs a workload and returns its report even when a check of it failed.
    pub fn run_checked(
        &self,
        workload: &str,
        bootstrap: SocketAddr,
        arguments: &[&str],
    ) -> Result<(bool, Report), Failure> {
        let mut command = self.command(workload, bootstrap, arguments);
        let output = command.stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        let report = Report::parse(&text).map_err(|error| format!("{error}\n{said}"))?;
        Ok((output.status.success(), report))
    }
}

/// A workload that runs beside the experiment.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it. To be called from the main thread only, see [`process`].
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { child: command.spawn()? })
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> Result<bool, Failure> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for the end and reads the report. `None`: it failed before it began, as when the
    /// broker is gone while it asks for its topic.
    pub fn finish(mut self) -> Result<Option<Report>, Failure> {
        use std::io::Read as _;
        let mut text = String::new();
        let mut said = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout.read_to_string(&mut text)?;
        }
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut said)?;
        }
        let status = self.child.wait()?;
        if !status.success() && text.is_empty() {
            return Ok(None);
        }
        if !status.success() {
            let (text, said) = (process::tail(&text), process::tail(&said));
            return Err(format!("a producer ended with {status}:\n{text}{said}").into());
        }
        Report::parse(&text).map(Some)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
