//! What the kernel counts for a server: time, switches, memory, bytes to the disk, system calls.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::figures::{Figures, Moved};
use crate::Failure;
use crate::process::{self, Server};

const MIB: f64 = 1024.0 * 1024.0;
/// The kernel offers its tracepoints here once somebody has mounted them.
const TRACEPOINTS: &str = "/sys/kernel/tracing/events/raw_syscalls/sys_enter";

/// The counts of a process so far.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    at: Instant,
    cpu: Duration,
    switches: u64,
    disk_bytes: Option<u64>,
}

impl Counters {
    /// Reads them.
    pub fn read(server: &Server) -> Result<Self, Failure> {
        let io = fs::read_to_string(format!("/proc/{}/io", server.id()));
        Ok(Self {
            at: Instant::now(),
            cpu: server.cpu_time()?,
            switches: switches(server.id())?,
            disk_bytes: io.ok().and_then(|text| number_behind(&text, "write_bytes:")),
        })
    }

    /// What was counted since `before`, for what was moved meanwhile. `produces`: records were
    /// written, so that bytes on the disk mean something. `busy`: the seconds in which there was
    /// load, where a slow start of the client would dilute the whole.
    pub fn since(
        &self,
        before: &Self,
        moved: Option<Moved>,
        produces: bool,
        busy: Option<f64>,
    ) -> Figures {
        let cpu = self.cpu.saturating_sub(before.cpu).as_secs_f64();
        let elapsed = busy.unwrap_or(self.at.duration_since(before.at).as_secs_f64());
        let mut found = Figures::new();
        let mut keep = |name: &str, value: f64| {
            if value.is_finite() {
                found.insert(name.to_string(), value);
            }
        };
        keep("cpu_percent", cpu / elapsed * 100.0);
        let Some(moved) = moved else { return found };
        let switches = self.switches.saturating_sub(before.switches) as f64;
        keep("cpu_seconds_per_gb", cpu / (moved.bytes / 1e9));
        keep("switches_per_thousand", switches / (moved.messages / 1e3));
        keep("switches_per_request", switches / moved.requests);
        if let (true, Some(old), Some(new)) = (produces, before.disk_bytes, self.disk_bytes) {
            keep("disk_bytes_per_byte", new.saturating_sub(old) as f64 / moved.written);
        }
        found
    }
}

/// Resident memory now, in MiB.
pub fn resident_mib(server: &Server) -> Result<f64, Failure> {
    Ok(server.resident_bytes()? as f64 / MIB)
}

/// Voluntary and other switches of all threads alive.
fn switches(process: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end while we look.
        let text = fs::read_to_string(thread?.path().join("status")).unwrap_or_default();
        sum += switches_of(&text);
    }
    Ok(sum)
}

fn switches_of(status: &str) -> u64 {
    ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
        .iter()
        .filter_map(|name| number_behind(status, name))
        .sum()
}

fn number_behind(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.trim().parse().ok())
}

/// Counts a server's system calls with `perf stat`. It slows every call, so a run under it is not
/// measured otherwise.
pub struct SyscallCount {
    child: Child,
    output: PathBuf,
}

impl SyscallCount {
    /// Begins to count; `None` where the kernel or the rights do not allow it. To be called from
    /// the main thread only, see [`process`].
    pub fn start(server: &Server, folder: &std::path::Path) -> Option<Self> {
        let output = folder.join("syscalls.csv");
        let _ = fs::remove_file(&output);
        let perf = format!(
            "exec perf stat -x, -e raw_syscalls:sys_enter -o {} -p {}",
            output.display(),
            server.id()
        );
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if fs::exists(TRACEPOINTS).unwrap_or(false) {
            command.args(["sh", "-c", &perf]);
        } else {
            // Mounted for this child alone: the machine stays as it is.
            let mounted = format!("mount -t tracefs none /sys/kernel/tracing && {perf}");
            command.args(["unshare", "--mount", "sh", "-c", &mounted]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        std::thread::sleep(Duration::from_millis(300));
        match child.try_wait() {
            Ok(None) => Some(Self { child, output }),
            _ => None,
        }
    }

    /// Ends it and reads the count; `None` when there is none.
    pub fn finish(mut self) -> Option<f64> {
        process::run("kill", ["-INT", &self.child.id().to_string()]).ok()?;
        self.child.wait().ok()?;
        count_of(&fs::read_to_string(&self.output).ok()?)
    }
}

impl Drop for SyscallCount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The count in the CSV of `perf stat`; `None` for `<not counted>` and the like.
fn count_of(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(',').next()?.trim().parse().ok()
}

/// The figures of a counting run.
pub fn of_syscalls(count: f64, moved: Moved) -> Figures {
    let mut found = Figures::new();
    found.insert("syscalls_per_thousand".into(), count / (moved.messages / 1e3));
    if moved.requests > 0.0 {
        found.insert("syscalls_per_request".into(), count / moved.requests);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_both_kinds() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches_of(status), 42);
        assert_eq!(switches_of(""), 0);
    }

    #[test]
    fn counts_of_perf_stat() {
        let text = "# started on Sat\n\n12345,,raw_syscalls:sys_enter,100,100.00,,\n";
        assert_eq!(count_of(text), Some(12345.0));
        assert_eq!(count_of("<not counted>,,raw_syscalls:sys_enter,0,100.00,,\n"), None);
        assert_eq!(count_of(""), None);
    }

    #[test]
    fn counts_become_figures() {
        let at = Instant::now();
        let ms = Duration::from_millis;
        let before = Counters { at, cpu: ms(100), switches: 10, disk_bytes: Some(1000) };
        let after = Counters {
            at: at + ms(2000),
            cpu: ms(1100),
            switches: 210,
            disk_bytes: Some(2_000_001_000),
        };
        let moved = Moved { messages: 10_000.0, bytes: 1e9, written: 1e9, requests: 100.0 };
        let found = after.since(&before, Some(moved), true, None);
        let expected = [
            ("cpu_percent", 50.0),
            ("cpu_seconds_per_gb", 1.0),
            ("disk_bytes_per_byte", 2.0),
            ("switches_per_request", 2.0),
            ("switches_per_thousand", 20.0),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_string(), value)).into());
        assert!(
            !after.since(&before, Some(moved), false, None).contains_key("disk_bytes_per_byte")
        );
        assert_eq!(after.since(&before, None, true, Some(1.0))["cpu_percent"], 100.0);
    }
}
