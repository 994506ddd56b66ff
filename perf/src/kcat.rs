//! kcat, the command line client that users try first.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::Failure;
use crate::process;

/// Every codec that Kafka's format knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
/// How many messages one round trip carries.
pub const MESSAGES: u64 = 5_000;

/// Lists the cluster and returns how many brokers it shows.
pub fn list(address: SocketAddr) -> Result<usize, Failure> {
    let text = process::run("kcat", ["-b", &address.to_string(), "-L"])?;
    let brokers = text.lines().filter(|line| line.starts_with("  broker ")).count();
    if brokers == 0 {
        return Err(format!("kcat -L shows no broker:\n{text}").into());
    }
    Ok(brokers)
}

/// Produces `MESSAGES` keyed messages, consumes the topic to its end, and compares: each message
/// once, with its key, in the order it was sent within its partition.
pub fn round_trip(
    address: SocketAddr,
    topic: &str,
    codec: &str,
    folder: &Path,
) -> Result<(), Failure> {
    let mut sent = String::new();
    for index in 0..MESSAGES {
        let words = "the same few words again and again ".repeat(3);
        writeln!(sent, "key{}:{index} {words}{codec}", index % 97)?;
    }
    let file = folder.join(format!("kcat-{codec}.txt"));
    process::write_file(&file, sent.as_bytes())?;
    let bootstrap = address.to_string();
    let compression = format!("compression.codec={codec}");
    let mut produce = Command::new("kcat");
    produce.args(["-P", "-b", &bootstrap, "-t", topic, "-K:", "-X", &compression]);
    produce.args(["-X", "acks=all", "-l"]).arg(&file);
    process::output_of(&mut produce)?;
    let consume = ["-C", "-b", &bootstrap, "-t", topic, "-o", "beginning", "-e", "-q"];
    let format = ["-X", "check.crcs=true", "-f", "%p %o %k:%s\\n"];
    let read = process::run("kcat", [&consume[..], &format[..]].concat())?;
    compare(&sent, &read)
}

/// Produced lines are `key:index text`, consumed ones `partition offset key:index text`.
fn compare(sent: &str, read: &str) -> Result<(), Failure> {
    let sent: Vec<&str> = sent.lines().collect();
    let mut is_seen = vec![false; sent.len()];
    // The next offset and the last index of each partition.
    let mut partitions = std::collections::BTreeMap::<&str, (u64, Option<usize>)>::new();
    for line in read.lines() {
        let unreadable = || format!("kcat read an unexpected line: {line}");
        let mut parts = line.splitn(3, ' ');
        let partition = parts.next().ok_or_else(unreadable)?;
        let offset: u64 = parts.next().ok_or_else(unreadable)?.parse()?;
        let message = parts.next().ok_or_else(unreadable)?;
        let (_, tail) = message.split_once(':').ok_or_else(unreadable)?;
        let (index, _) = tail.split_once(' ').ok_or_else(unreadable)?;
        let index: usize = index.parse()?;
        if sent.get(index) != Some(&message) {
            return Err(unreadable().into());
        }
        let (offset_next, index_last) = partitions.entry(partition).or_default();
        if offset != *offset_next || index_last.is_some_and(|last| last >= index) {
            return Err(format!("kcat read out of order: {line}").into());
        }
        (*offset_next, *index_last) = (offset + 1, Some(index));
        is_seen[index] = true;
    }
    let missing = is_seen.iter().filter(|seen| !**seen).count();
    if missing > 0 {
        return Err(format!("kcat read {missing} messages less than it sent").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::compare;

    const SENT: &str = "a:0 x\nb:1 y\na:2 z\n";

    #[test]
    fn accepts_what_was_sent_and_nothing_else() {
        compare(SENT, "0 0 a:0 x\n0 1 a:2 z\n1 0 b:1 y\n").unwrap();
        for (read, why) in [
            ("0 0 a:0 x\n0 1 a:2 z\n", "1 messages less"),
            ("0 0 a:0 x\n0 1 a:0 x\n1 0 b:1 y\n", "out of order"),
            ("0 0 a:2 z\n0 1 a:0 x\n1 0 b:1 y\n", "out of order"),
            ("0 0 a:0 x\n0 2 a:2 z\n1 0 b:1 y\n", "out of order"),
            ("0 0 a:0 q\n", "unexpected"),
            ("noise", "unexpected"),
        ] {
            let error = compare(SENT, read).unwrap_err().to_string();
            assert!(error.contains(why), "{read}: {error}");
        }
    }
}
