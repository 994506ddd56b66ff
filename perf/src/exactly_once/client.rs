//! Client programs as processes that are killed on purpose.
//!
//! Invariant: none outlives the experiment, see [`process`]; they are started from the main thread.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running program: its output in one file, what it complains of in another, which a program
/// that takes its place continues.
pub struct Client {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Client {
    /// Starts a program; `folder` gets the files `NAME.out` and `NAME.log`.
    pub fn start(name: &str, command: &[String], folder: &Path) -> Result<Self, Failure> {
        let output = folder.join(format!("{name}.out"));
        let log = folder.join(format!("{name}.log"));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(OpenOptions::new().create(true).append(true).open(&log)?)
            .spawn()?;
        Ok(Self { name: name.to_string(), child, output, log })
    }

    /// Where its output goes.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> Result<bool, Failure> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// An error with the end of its log when it no longer runs.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended ({status})"))),
        }
    }

    /// `kill -9`, at once.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, which it must do well.
    pub fn stop(self, wait_max: Duration) -> Result<String, Failure> {
        process::run("kill", ["-TERM", &self.child.id().to_string()])?;
        self.finish(wait_max)
    }

    /// Waits for its own, good end and returns its output.
    pub fn finish(mut self, wait_max: Duration) -> Result<String, Failure> {
        let started = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(fs::read_to_string(&self.output)?),
                Some(status) => return Err(self.failure(&format!("ended ({status})"))),
                None if started.elapsed() > wait_max => {
                    return Err(self.failure(&format!("has not ended after {wait_max:?}")));
                }
                None => sleep(POLL_INTERVAL),
            }
        }
    }

    fn failure(&self, what: &str) -> Failure {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        format!("{} {what}; the end of its log:\n{}", self.name, process::tail(&text)).into()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
