//! kcat plays the checks too: a command line for each, and what it prints.
//!
//! It makes no topics, so they are made at first use, with the broker's number of partitions; those
//! that must differ are made by Kafka's tool before. What a shell user cannot ask of kcat is
//! absent.

use std::fmt::Write as _;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::kcat_group;
use super::program::{CHECKS, Line, Outcome, Said, Visit, failed};
use crate::Failure;
use crate::kafka::Kafka;
use crate::kcat;
use crate::process;

/// What topics begin with.
pub const PREFIX: &str = "kcat";
const MESSAGES: usize = 100;
const MIB: usize = 1024 * 1024;
const SIZE_MAX: usize = 4 * MIB;
/// Longer than a broker's clock takes to show another time.
const PAUSE: Duration = Duration::from_millis(20);

/// How often a topic that was made is looked for.
const SHOWN_TRIES_MAX: usize = 100;

/// What a check found: the broker's answer, or what kcat cannot do.
enum Found {
    Answer(String),
    Absent(&'static str),
}

struct Kcat<'a> {
    visit: &'a Visit<'a>,
    kafka: &'a Kafka,
}

/// Plays all wanted checks.
pub fn run(kafka: &Kafka, visit: &Visit<'_>) -> Said {
    let kcat = Kcat { visit, kafka };
    let line_of = |check: &str| {
        let (result, detail, answer) = match kcat.play(check) {
            Ok(Found::Answer(answer)) => (Outcome::Pass, String::new(), answer),
            Ok(Found::Absent(what)) => (Outcome::Absent, what.to_string(), String::new()),
            Err(failure) => return failed(check, &failure.to_string()),
        };
        Line { check: check.to_string(), result, detail, answer }
    };
    let wanted = CHECKS.iter().filter(|check| visit.wants(check));
    wanted.map(|check| (check.to_string(), line_of(check))).collect()
}

impl Kcat<'_> {
    fn play(&self, check: &str) -> Result<Found, Failure> {
        let topic = format!("{PREFIX}-{}", check.replace('/', "-"));
        let answer = match check.split_once('/').unwrap_or((check, "")) {
            ("codec", codec) => {
                kcat::round_trip(self.visit.address, &topic, codec, self.visit.folder)?;
                format!("{} messages", kcat::MESSAGES)
            }
            ("acks", acks) => self.lines_back(&topic, &format!("acks={acks}"))?,
            ("idempotence", _) => self.lines_back(&topic, "enable.idempotence=true")?,
            ("headers", _) => self.headers(&topic)?,
            ("nulls", _) => self.nulls(&topic)?,
            ("sizes", _) => self.sizes(&topic)?,
            ("partitions", count) => self.partitions(&topic, count.parse()?)?,
            ("seek", "offset") => {
                self.send_lines(&topic, 0..MESSAGES, "acks=all")?;
                self.consume(&topic, &["-p", "0", "-o", "42", "-c", "3", "-f", "%o "])?
            }
            ("seek", "timestamp") => self.seek_timestamp(&topic)?,
            ("seek", "ends") => self.seek_ends(&topic)?,
            ("admin", "describe") => self.describe(&topic)?,
            ("admin", "offsets") => self.offsets(&topic)?,
            ("admin", "cluster") => self.cluster()?,
            ("groups", _) => self.group(&topic)?,
            ("admin", _) | ("errors", "exists" | "bad-config" | "bad-partitions") => {
                return Ok(Found::Absent("kcat makes and changes no topics"));
            }
            ("errors", kind) => self.refused(&topic, kind)?,
            _ => return Err("kcat does not know this check".into()),
        };
        Ok(Found::Answer(answer))
    }

    fn command(&self, mode: &str, topic: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("kcat");
        command.args([mode, "-b", &self.visit.address.to_string(), "-t", topic]).args(arguments);
        if mode == "-C" {
            // It knows at once what is there and what is not.
            command.args(["-X", "fetch.wait.max.ms=50"]);
            command.args(["-X", "topic.metadata.propagation.max.ms=0"]);
        }
        command
    }

    /// Sends a file, one message a line (with `-l`) or whole; `arguments` end with its name.
    fn produce(&self, topic: &str, arguments: &[&str], text: &[u8]) -> Result<(), Failure> {
        let file = self.visit.folder.join(format!("{topic}.txt"));
        process::write_file(&file, text)?;
        let mut command = self.command("-P", topic, arguments);
        process::output_of(command.arg(file)).map(drop)
    }

    fn send_lines(
        &self,
        topic: &str,
        indexes: std::ops::Range<usize>,
        setting: &str,
    ) -> Result<(), Failure> {
        let mut text = String::new();
        for index in indexes {
            writeln!(text, "key{index}:value {index}")?;
        }
        self.produce(topic, &["-p", "0", "-K:", "-X", setting, "-l"], text.as_bytes())
    }

    fn consume(&self, topic: &str, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = self.command("-C", topic, arguments);
        command.args(["-q", "-e", "-X", "check.crcs=true"]);
        command.args(["-X", &format!("fetch.message.max.bytes={SIZE_MAX}")]);
        Ok(process::output_of(&mut command)?.trim_end().to_string())
    }

    fn made(&self, topic: &str, partitions: usize, setting: &str) -> Result<(), Failure> {
        let mut command = self.kafka.tool("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &self.visit.address.to_string(), "--create"]);
        command.args(["--topic", topic, "--partitions", &partitions.to_string()]);
        command.args(["--config", setting]);
        process::output_of(&mut command).map(drop)
    }

    fn lines_back(&self, topic: &str, setting: &str) -> Result<String, Failure> {
        // With acks=0 nobody would tell of a topic that is not served yet.
        self.send_lines(topic, 0..1, "acks=all")?;
        self.send_lines(topic, 1..MESSAGES, setting)?;
        let count = MESSAGES.to_string();
        // Without an acknowledgement the end may not be there yet.
        sleep(PAUSE);
        let read = self
            .consume(topic, &["-p", "0", "-o", "beginning", "-c", &count, "-f", "%o %k:%s\\n"])?;
        let expected: Vec<String> =
            (0..MESSAGES).map(|index| format!("{index} key{index}:value {index}")).collect();
        same("messages", &read, &expected.join("\n"))?;
        Ok(format!("{MESSAGES} messages"))
    }

    fn headers(&self, topic: &str) -> Result<String, Failure> {
        let headers = ["-p", "0", "-H", "a=1", "-H", "b=", "-H", "a=2", "-H", "nothing", "-l"];
        self.produce(topic, &headers, b"v\n")?;
        let read = self.consume(topic, &["-p", "0", "-o", "beginning", "-J"])?;
        let message: Value = serde_json::from_str(&read)?;
        let shown = message["headers"].to_string();
        same("headers", &shown, r#"["a","1","b","","a","2","nothing",null]"#)?;
        Ok(shown)
    }

    fn nulls(&self, topic: &str) -> Result<String, Failure> {
        self.produce(topic, &["-p", "0", "-K:", "-Z", "-l"], b":v\nk:\n")?;
        self.produce(topic, &["-p", "0", "-K:", "-l"], b":w\nk:\n")?;
        let read = self.consume(topic, &["-p", "0", "-o", "beginning", "-J"])?;
        let mut pairs = Vec::new();
        for line in read.lines() {
            let message: Value = serde_json::from_str(line)?;
            pairs.push(format!("{}:{}", message["key"], message["payload"]));
        }
        Ok(pairs.join(" "))
    }

    fn sizes(&self, topic: &str) -> Result<String, Failure> {
        self.made(topic, 1, &format!("max.message.bytes={SIZE_MAX}"))?;
        let large: String = (0..MIB / 8).map(|index| format!("{index:08x}")).collect();
        let setting = format!("message.max.bytes={SIZE_MAX}");
        for text in ["x", &large] {
            self.produce(topic, &["-p", "0", "-X", &setting], text.as_bytes())?;
        }
        let read = self.consume(topic, &["-o", "beginning", "-f", "%S %s\\n"])?;
        same("values", &read, &format!("1 x\n{MIB} {large}"))?;
        Ok(format!("1 {MIB}"))
    }

    fn partitions(&self, topic: &str, count: usize) -> Result<String, Failure> {
        self.made(topic, count, "retention.ms=-1")?;
        let lines: String = (0..count * 20).map(|index| format!("{index}\n")).collect();
        // The last one is told by its number, and the partitioner deals the others.
        self.produce(topic, &["-p", &(count - 1).to_string(), "-l"], b"by number\n")?;
        let each = ["-X", "sticky.partitioning.linger.ms=0", "-X", "linger.ms=0", "-l"];
        self.produce(topic, &each, lines.as_bytes())?;
        let read = self.consume(topic, &["-o", "beginning", "-f", "%p %s\\n"])?;
        let mut numbers: Vec<usize> = Vec::new();
        let mut is_hit = vec![false; count];
        for line in read.lines() {
            let (partition, value) = line.split_once(' ').ok_or("no partition in a line")?;
            is_hit[partition.parse::<usize>()?] = true;
            numbers.extend(value.parse::<usize>().ok());
        }
        numbers.sort_unstable();
        if numbers != (0..count * 20).collect::<Vec<_>>() {
            return Err(format!("{} of {} messages read", numbers.len(), count * 20).into());
        }
        let hit = is_hit.iter().filter(|hit| **hit).count();
        Ok(format!("{} messages in {hit} partitions", numbers.len()))
    }

    fn seek_timestamp(&self, topic: &str) -> Result<String, Failure> {
        self.send_lines(topic, 0..MESSAGES / 2, "acks=all")?;
        sleep(PAUSE);
        self.send_lines(topic, MESSAGES / 2..MESSAGES, "acks=all")?;
        let middle = (MESSAGES / 2).to_string();
        let at = ["-p", "0", "-o", &middle, "-c", "1", "-f", "%T"];
        let time: i64 = self.consume(topic, &at)?.parse()?;
        let mut offsets = Vec::new();
        for time in [1, time - 1, time] {
            let from = format!("s@{time}");
            let first = ["-p", "0", "-o", &from, "-c", "1", "-f", "%o"];
            offsets.push(self.consume(topic, &first)?);
        }
        Ok(offsets.join(" "))
    }

    fn seek_ends(&self, topic: &str) -> Result<String, Failure> {
        self.send_lines(topic, 0..MESSAGES, "acks=all")?;
        let mut offsets = Vec::new();
        for from in ["beginning", "-1", "end"] {
            let read = self.consume(topic, &["-p", "0", "-o", from, "-f", "%o "])?;
            offsets.push(read.split(' ').next().unwrap_or("").to_string());
        }
        Ok(format!("beginning: {}, -1: {}, end: {:?}", offsets[0], offsets[1], offsets[2]))
    }

    fn group(&self, topic: &str) -> Result<String, Failure> {
        self.made(topic, kcat_group::PARTITIONS, "retention.ms=-1")?;
        // A member that cannot see the topic yet would not look again for minutes.
        let seen = || self.shown(topic).ok()?["topics"][0]["partitions"].as_array().map(Vec::len);
        for _ in 0..SHOWN_TRIES_MAX {
            if seen() == Some(kcat_group::PARTITIONS) {
                break;
            }
            sleep(PAUSE);
        }
        let address = self.visit.address.to_string();
        kcat_group::Flow::new(&address, topic, self.visit.folder).play()
    }

    fn shown(&self, topic: &str) -> Result<Value, Failure> {
        let text = process::output_of(&mut self.command("-L", topic, &["-J"]))?;
        Ok(serde_json::from_str(&text)?)
    }

    fn describe(&self, topic: &str) -> Result<String, Failure> {
        self.send_lines(topic, 0..1, "acks=all")?;
        let shown = self.shown(topic)?;
        let partitions = shown["topics"][0]["partitions"].as_array().ok_or("no partitions")?;
        let text_of = |one: &Value| {
            let count = |name: &str| one[name].as_array().map_or(0, Vec::len);
            let is_led = one["leader"].as_i64().is_some_and(|id| id >= 0);
            let number = &one["partition"];
            format!("{number}: led {is_led}, {} of {}", count("isrs"), count("replicas"))
        };
        Ok(partitions.iter().map(text_of).collect::<Vec<_>>().join("; "))
    }

    fn cluster(&self) -> Result<String, Failure> {
        let shown = self.shown("kcat-seek-offset")?;
        let brokers = shown["brokers"].as_array().ok_or("no brokers")?;
        let has_controller = brokers.iter().any(|one| one["id"] == shown["controllerid"]);
        Ok(format!("brokers: {}, controller is one: {has_controller}", !brokers.is_empty()))
    }

    fn offsets(&self, topic: &str) -> Result<String, Failure> {
        self.send_lines(topic, 0..MESSAGES, "acks=all")?;
        let mut offsets = Vec::new();
        for time in ["-2", "-1", "1"] {
            let mut command = Command::new("kcat");
            command.args(["-Q", "-b", &self.visit.address.to_string()]);
            let text = process::output_of(command.args(["-t", &format!("{topic}:0:{time}")]))?;
            let (_, offset) = text.trim_end().rsplit_once(' ').ok_or("no offset in a line")?;
            offsets.push(offset.to_string());
        }
        Ok(format!("earliest, latest, by time: {}", offsets.join(" ")))
    }

    fn refused(&self, topic: &str, kind: &str) -> Result<String, Failure> {
        let mut command = match kind {
            "unknown-topic" => self.command("-C", topic, &["-e", "-q"]),
            "invalid-name" => self.command("-C", "kcat invalid name", &["-e", "-q"]),
            "out-of-range" => {
                self.send_lines(topic, 0..1, "acks=all")?;
                let at = ["-p", "0", "-o", "1000", "-e", "-X", "auto.offset.reset=error"];
                self.command("-C", topic, &at)
            }
            _ => {
                self.send_lines(topic, 0..1, "acks=all")?;
                let file = self.visit.folder.join(format!("{topic}.large"));
                process::write_file(&file, &vec![b'x'; 2 * MIB])?;
                let setting = format!("message.max.bytes={SIZE_MAX}");
                let mut command = self.command("-P", topic, &["-p", "0", "-X", &setting]);
                command.arg(file);
                command
            }
        };
        let (_, text) = process::everything_of(&mut command)?;
        let error = text.rsplit_once("Broker: ").map(|(_, rest)| rest);
        let end = |c: char| !(c.is_alphanumeric() || c == ' ');
        match error.and_then(|rest| rest.split(end).next()) {
            Some(name) => Ok(name.trim().to_string()),
            None => Err(format!("not refused: {}", process::tail(&text)).into()),
        }
    }
}

fn same(what: &str, found: &str, expected: &str) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    let cut = |text: &str| text.chars().take(200).collect::<String>();
    Err(format!("{what}: {}, expected {}", cut(found), cut(expected)).into())
}
