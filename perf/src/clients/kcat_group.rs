//! kcat as members of a group: two, then three, then two, while records flow.
//!
//! kcat prints its assignments, but nothing that would order what several of them print. So it is
//! seen that the members' assignments share the partitions out whenever the group is at rest, that
//! all records are read, and that a fresh member reads only what is new.

use std::collections::BTreeSet;
use std::fs::{self, File};
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

/// Where the group is, and how a record comes to each partition.
pub struct Flow<'a> {
    /// The broker's address.
    pub address: &'a str,
    /// The topic, which has been made.
    pub topic: &'a str,
    /// A folder for what the members print.
    pub folder: &'a Path,
    /// Sends these numbers, each to every partition.
    pub send: &'a dyn Fn(usize) -> Result<(), Failure>,
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
        let number = |text: &str| Some(text.split_once('[')?.1.trim_end_matches(']').parse().ok()?);
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

impl Flow<'_> {
    /// Plays it all and returns the answer.
    pub fn play(&self) -> Result<String, Failure> {
        let mut sent = 0;
        let mut members = vec![self.member("one")?, self.member("two")?];
        self.until_shared(&members, &[3, 3], &mut sent)?;
        members.push(self.member("three")?);
        self.until_shared(&members, &[2, 2, 2], &mut sent)?;
        let mut gone = members.remove(0).leave()?;
        self.until_shared(&members, &[3, 3], &mut sent)?;
        let all = everything(0..sent);
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
        (self.send)(sent)?;
        until("end of what is new", || Ok(fresh.taken()?.len() >= PARTITIONS))?;
        let (found, new) = (fresh.leave()?, everything(sent..sent + 1));
        if found != new {
            return Err(format!("a fresh member read {found:?}, new is {new:?}").into());
        }
        Ok("3 3, 2 2 2, 3 3: all taken; a fresh one: the new only".into())
    }

    fn member(&self, name: &str) -> Result<Member, Failure> {
        let path = |end: &str| self.folder.join(format!("{}-{name}.{end}", self.topic));
        let (printed, told) = (path("out"), path("err"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "kcat", "-b", self.address, "-u", "-f", "%p %o\\n"]);
        command.args(SETTINGS.iter().flat_map(|setting| ["-X", setting]));
        command.args(["-G", &format!("{}-group", self.topic), self.topic]).stdin(Stdio::null());
        command.stdout(File::create(&printed)?).stderr(File::create(&told)?);
        Ok(Member { child: command.spawn()?, printed, told })
    }

    /// Sends until each member has so many partitions, and no partition two of them.
    fn until_shared(
        &self,
        members: &[Member],
        shares: &[usize],
        sent: &mut usize,
    ) -> Result<(), Failure> {
        until(&format!("shares {shares:?}"), || {
            (self.send)(*sent)?;
            *sent += 1;
            let assigned: Vec<_> =
                members.iter().map(Member::assigned).collect::<Result<_, _>>()?;
            let all: BTreeSet<usize> = assigned.iter().flatten().copied().collect();
            let found: Vec<usize> = assigned.iter().map(Vec::len).collect();
            Ok(found == shares && all.len() == PARTITIONS)
        })
    }
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
