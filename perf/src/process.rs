//! Servers as child processes: started pinned, awaited, measured and always ended.
//!
//! Invariant: no server outlives the experiment. `Drop` kills it, and `setpriv --pdeathsig KILL`
//! covers our own sudden death. That signal fires when the *thread* that spawned the child ends, so
//! servers are started from the main thread only. `taskset` and `setpriv` replace themselves by the
//! server, so the child's process id is the server's.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;

/// How long a server may take until it listens. A JVM on a busy core needs seconds, and Kafka,
/// after a kill, waits for its own former session to end.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
/// How long a clean stop may take.
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a starting server is asked; also the resolution of start-up times.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
const CONNECT_WAIT_MAX: Duration = Duration::from_millis(200);
/// Linux reports process times to user space in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
const PORTS_FIRST: u16 = 19_092;
const PORTS_LAST: u16 = 31_000;

/// What to run and where.
pub struct Plan<'a> {
    /// What messages call it.
    pub name: &'a str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The cores it may use, as `taskset -c` takes them; empty: all.
    pub cpus: &'a str,
    /// Where it listens; the server counts as started once this accepts a connection.
    pub address: SocketAddr,
    /// Where its output goes.
    pub log: PathBuf,
}

/// A running server.
pub struct Server {
    name: String,
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From the spawn to the first accepted connection.
    pub start_time: Duration,
    /// Its output.
    pub log: PathBuf,
}

impl Server {
    /// Starts a server and returns once it accepts connections.
    pub fn start(plan: Plan<'_>) -> Result<Self, Failure> {
        let log = fs::OpenOptions::new().create(true).append(true).open(&plan.log)?;
        let mut wrapped = vec!["setpriv".to_string(), "--pdeathsig".into(), "KILL".into()];
        if !plan.cpus.is_empty() {
            wrapped.extend(["taskset".into(), "-c".into(), plan.cpus.into()]);
        }
        wrapped.extend(plan.command);
        let started = Instant::now();
        let child = Command::new(&wrapped[0])
            .args(&wrapped[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let name = plan.name.to_string();
        let start_time = Duration::ZERO;
        let mut server = Self { name, child, address: plan.address, start_time, log: plan.log };
        server.await_listening(started)?;
        Ok(server)
    }

    fn await_listening(&mut self, started: Instant) -> Result<(), Failure> {
        loop {
            if TcpStream::connect_timeout(&self.address, CONNECT_WAIT_MAX).is_ok() {
                self.start_time = started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failure(&format!("ended while starting ({status})")));
            }
            if started.elapsed() > START_WAIT_MAX {
                return Err(self.failure(&format!("does not listen after {START_WAIT_MAX:?}")));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of the log when the server is no longer alive.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("died ({status})"))),
        }
    }

    /// User plus system time of the process so far, all threads, kernel workers included.
    pub fn cpu_time(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let ticks = ticks_of(&stat).ok_or_else(|| self.failure("/proc/PID/stat is unreadable"))?;
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
    }

    /// The same for the threads alive now, in nanoseconds as the scheduler counts them: for
    /// stretches of time in which a hundredth of a second is much and no thread ends.
    pub fn running_time(&self) -> Result<Duration, Failure> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.id()))? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds +=
                text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0u64);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Resident memory now.
    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| self.failure("/proc/PID/status has no VmRSS"))
    }

    /// `kill -9`, at once.
    pub fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, then waits for the clean end.
    pub fn stop(mut self) -> Result<ExitStatus, Failure> {
        run("kill", ["-TERM", &self.id().to_string()])?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if started.elapsed() > STOP_WAIT_MAX {
                return Err(self.failure(&format!("still runs {STOP_WAIT_MAX:?} after SIGTERM")));
            }
            sleep(POLL_INTERVAL);
        }
    }

    /// An error that names the server and shows the end of its log.
    pub fn failure(&self, what: &str) -> Failure {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(15)..].join("\n  ");
        format!("{} {what}; the end of {}:\n  {end}", self.name, self.log.display()).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime: fields 14 and 15, counted behind the command name, which may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Runs a command to its end and returns its standard output; anything but success is an error that
/// shows what it said.
pub fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
) -> Result<String, Failure> {
    output_of(Command::new(program).args(arguments))
}

/// The same command, to run only when nobody else wants its core.
pub fn at_idle_priority(command: &Command) -> Command {
    let mut idle = Command::new("chrt");
    idle.args(["--idle", "0"]).arg(command.get_program()).args(command.get_args());
    idle
}

/// As [`run`], for a command that was prepared before.
pub fn output_of(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| named(command, error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed ({}):\n{}{}", output.status, tail(&text), tail(&said)).into())
}

/// Both output streams in one text, as a person would see them, and whether it succeeded.
pub fn everything_of(command: &mut Command) -> Result<(bool, String), Failure> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| named(command, error))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), text))
}

fn named(command: &Command, error: io::Error) -> Failure {
    format!("cannot run {:?}: {error}", command.get_program()).into()
}

/// The last lines of a text: enough for an error message.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("  {line}\n")).collect()
}

/// The first of `count` consecutive ports that nothing listens on. They lie below the range from
/// which the kernel takes the local ports of outgoing connections.
pub fn free_ports(count: u16) -> Result<u16, Failure> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let step = count.max(10);
    // Another start for each process, so that two experiments side by side rarely meet.
    let offset = (std::process::id() % 1000) as u16 * 10;
    let mut base = PORTS_FIRST + offset % (PORTS_LAST - PORTS_FIRST);
    while base + count < PORTS_LAST {
        if (base..base + count).all(is_free) {
            return Ok(base);
        }
        base += step;
    }
    Err("no free ports".into())
}

/// A folder that is removed with its contents when the experiment ends.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Creates `parent/name-PID`, empty.
    pub fn new(parent: &Path, name: &str) -> Result<Self, Failure> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if std::env::var_os("PERF_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Writes a file whole.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use io::Write;
    let mut file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    file.write_all(bytes)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_a_hostile_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 3 0 100 1 2";
        assert_eq!(ticks_of(stat), Some(300));
        assert_eq!(ticks_of("7 (a"), None);
    }

    #[test]
    fn a_server_that_ends_is_reported_with_its_last_words() {
        let folder = TemporaryFolder::new(&std::env::temp_dir(), "perf-process").unwrap();
        let port = free_ports(1).unwrap();
        let result = Server::start(Plan {
            name: "talker",
            command: vec!["sh".into(), "-c".into(), "echo goodbye; exit 3".into()],
            cpus: "0",
            address: ([127, 0, 0, 1], port).into(),
            log: folder.path().join("log"),
        });
        let text = result.err().unwrap().to_string();
        assert!(text.contains("goodbye"), "{text}");
    }
}
