//! A consumer that reads what is committed while brokers and clients are killed.
//!
//! It is told apart from the later readers on purpose: what it printed may never turn out to have
//! been aborted, and nothing may be missing from it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::client::Client;
use crate::Failure;

/// Without anything new for so long, something hangs: twice a JVM client's default patience, plus
/// the restart of a JVM broker.
const PROGRESS_WAIT_MAX: Duration = Duration::from_secs(150);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// When all has come, whatever comes within this time is too much.
const SURPLUS_WAIT: Duration = Duration::from_secs(2);

/// The process and how far its output was counted.
pub struct Follower {
    client: Client,
    bytes: u64,
    lines: u64,
}

impl Follower {
    /// Counts a client's lines from the beginning.
    pub fn new(client: Client) -> Self {
        Self { client, bytes: 0, lines: 0 }
    }

    /// How many records it has read by now.
    pub fn lines(&mut self) -> Result<u64, Failure> {
        self.client.check_alive()?;
        let mut file = File::open(self.client.output())?;
        file.seek(SeekFrom::Start(self.bytes))?;
        let mut text = Vec::new();
        self.bytes += file.read_to_end(&mut text)? as u64;
        self.lines += text.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(self.lines)
    }

    /// Waits until it has read `lines` records; `meanwhile` looks after the other processes. Fails
    /// when nothing comes for long.
    pub fn await_lines(
        &mut self,
        lines: u64,
        mut meanwhile: impl FnMut() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut last, mut since) = (self.lines()?, Instant::now());
        while last < lines {
            meanwhile()?;
            sleep(POLL_INTERVAL);
            let now = self.lines()?;
            if now > last {
                (last, since) = (now, Instant::now());
            }
            if since.elapsed() > PROGRESS_WAIT_MAX {
                let wait = PROGRESS_WAIT_MAX.as_secs();
                return Err(format!("nothing new for {wait} s: {last} of {lines} records").into());
            }
        }
        Ok(())
    }

    /// Ends it and returns all it said.
    pub fn finish(self) -> Result<String, Failure> {
        sleep(SURPLUS_WAIT);
        let output = self.client.output().to_path_buf();
        self.client.kill()?;
        let text = std::fs::read_to_string(output)?;
        // The kill may have cut its last line, which then was not the last of what was awaited.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        Ok(text[..whole].to_string())
    }
}

/// Whether readers saw the same records at the same offsets.
pub fn is_alike(one: &str, other: &str) -> bool {
    let set = |text: &'_ str| text.lines().map(String::from).collect::<BTreeSet<_>>();
    one.lines().count() == other.lines().count() && set(one) == set(other)
}

/// The values of what a reader printed; one that printed fewer fields is broken.
pub fn values(text: &str) -> Result<Vec<(&str, &str)>, Failure> {
    let pair = |line: &'_ str| -> Option<(usize, usize)> {
        let mut tabs = line.match_indices('\t').map(|(at, _)| at).skip(1);
        Some((tabs.next()?, tabs.next()?))
    };
    text.lines()
        .map(|line| {
            let (first, second) = pair(line).ok_or_else(|| format!("a reader said {line:?}"))?;
            Ok((&line[first + 1..second], &line[second + 1..]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{is_alike, values};

    #[test]
    fn readers_agree_in_any_order_and_not_when_one_repeats() {
        assert!(is_alike("0\t1\tk\tv\n1\t0\tk\tw\n", "1\t0\tk\tw\n0\t1\tk\tv\n"));
        assert!(!is_alike("0\t1\tk\tv\n0\t1\tk\tv\n", "0\t1\tk\tv\n"));
        assert!(!is_alike("0\t1\tk\tv\n", "0\t2\tk\tv\n"));
    }

    #[test]
    fn keys_and_values() {
        assert_eq!(values("0\t1\tk\tv w\n3\t9\t\tx\n").unwrap(), [("k", "v w"), ("", "x")]);
        assert!(values("0\t1\tk\n").is_err());
    }
}
