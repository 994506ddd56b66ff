//! kcat as members of a group: two, then three, then two, while records flow.
//!
//! kcat prints its assignments, but nothing that would order what several of them print. So it is
//! seen that the members' assignments share the partitions out whenever the group is at rest, that
//! all records are read, and that a fresh member reads only what is new.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::process;

/// Partitions of the topic.
pub const PARTITIONS: usize = 6;
const WAIT_MAX: Duration = Duration::from_secs(25);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const SETTINGS: [&str; 5] = [
    "auto.offset.reset=earliest",
    "auto.commit.interval.ms=100",
    "session.timeout.ms=6000",
    "heartbeat.interval.ms=200",
    "fetch.wait.max.ms=50",
];

/// A topic that has been made, and how many records have gone to each of its partitions.
pub struct Flow<'a> {
    address: &'a str,
    topic: &'a str,
    folder: &'a Path,
    sent: usize,
}

/// A partition and an offset.
type Taken = BTreeSet<(usize, usize)>;

struct Member {
    child: Child,
    printed: PathBuf,
    told: PathBuf,
}

/// Ends also what a failed check has left running.
impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Member {
    /// The partitions that it was given last.
    fn assigned(&self) -> Result<Vec<usize>, Failure> {
        let told = fs::read_to_string(&self.told)?;
        let rebalance = told.lines().rfind(|line| line.contains(" rebalanced "));
        let Some((_, assigned)) = rebalance.and_then(|line| line.split_once(": assigned: ")) else {
            return Ok(Vec::new());
        };
        let number = |text: &str| text.split_once('[')?.1.trim_end_matches(']').parse().ok();
        Ok(assigned.split(", ").filter_map(number).collect())
    }

    fn taken(&self) -> Result<Taken, Failure> {
        let text = fs::read_to_string(&self.printed)?;
        let pair = |line: &str| {
            let (partition, offset) = line.split_once(' ')?;
            Some((partition.parse().ok()?, offset.parse().ok()?))
        };
        Ok(text.lines().filter_map(pair).collect())
    }

    /// Makes it commit and leave, and waits for that.
    fn leave(mut self) -> Result<Taken, Failure> {
        process::run("kill", ["-TERM", &self.child.id().to_string()])?;
        self.child.wait()?;
        self.taken()
    }
}

impl<'a> Flow<'a> {
    /// What the members print goes to the folder.
    pub fn new(address: &'a str, topic: &'a str, folder: &'a Path) -> Self {
        Self { address, topic, folder, sent: 0 }
    }

    /// Plays it all and returns the answer.
    pub fn play(mut self) -> Result<String, Failure> {
        let mut members = vec![self.member("one")?, self.member("two")?];
        self.until_shared(&members, &[3, 3])?;
        members.push(self.member("three")?);
        self.until_shared(&members, &[2, 2, 2])?;
        let mut gone = members.remove(0).leave()?;
        self.until_shared(&members, &[3, 3])?;
        let all = everything(0..self.sent);
        until("end of what was sent", || {
            let mut taken = gone.clone();
            for member in &members {
                taken.extend(member.taken()?);
            }
            Ok(taken == all)
        })?;
        for member in members {
            gone.extend(member.leave()?);
        }
        let fresh = self.member("fresh")?;
        self.send()?;
        until("end of what is new", || Ok(fresh.taken()?.len() >= PARTITIONS))?;
        let (found, new) = (fresh.leave()?, everything(self.sent - 1..self.sent));
        if found != new {
            return Err(format!("a fresh member read {found:?}, new is {new:?}").into());
        }
        Ok("3 3, 2 2 2, 3 3: all taken; a fresh one: the new only".into())
    }

    /// A record to each partition, by a producer for each: kcat reads all of its input first.
    fn send(&mut self) -> Result<(), Failure> {
        let mut producers = Vec::new();
        for partition in 0..PARTITIONS {
            let mut command = kcat(self.address);
            command.args(["-P", "-t", self.topic, "-p", &partition.to_string()]);
            let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            writeln!(child.stdin.take().ok_or("kcat has no input")?, "{}", self.sent)?;
            producers.push(child);
        }
        self.sent += 1;
        for mut producer in producers {
            if !producer.wait()?.success() {
                return Err("kcat did not deliver".into());
            }
        }
        Ok(())
    }

    fn member(&self, name: &str) -> Result<Member, Failure> {
        let path = |end: &str| self.folder.join(format!("{}-{name}.{end}", self.topic));
        let (printed, told) = (path("out"), path("err"));
        let mut command = kcat(self.address);
        command.args(["-u", "-f", "%p %o\\n"]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-X", setting]));
        command.args(["-G", &format!("{}-group", self.topic), self.topic]).stdin(Stdio::null());
        command.stdout(File::create(&printed)?).stderr(File::create(&told)?);
        Ok(Member { child: command.spawn()?, printed, told })
    }

    /// Sends until each member has so many partitions, and no partition two of them.
    fn until_shared(&mut self, members: &[Member], shares: &[usize]) -> Result<(), Failure> {
        until(&format!("shares {shares:?}"), || {
            self.send()?;
            let assigned: Vec<_> =
                members.iter().map(Member::assigned).collect::<Result<_, _>>()?;
            let all: BTreeSet<usize> = assigned.iter().flatten().copied().collect();
            let found: Vec<usize> = assigned.iter().map(Vec::len).collect();
            Ok(found == shares && all.len() == PARTITIONS)
        })
    }
}

/// kcat, which does not outlive the harness.
fn kcat(address: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "kcat", "-b", address]);
    command
}

fn everything(offsets: std::ops::Range<usize>) -> Taken {
    (0..PARTITIONS).flat_map(|one| offsets.clone().map(move |offset| (one, offset))).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let started = Instant::now();
    while !is_so()? {
        if started.elapsed() > WAIT_MAX {
            return Err(format!("no {what} within {WAIT_MAX:?}").into());
        }
        sleep(POLL_INTERVAL);
    }
    Ok(())
}
