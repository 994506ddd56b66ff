//! The commands of the client programs, in Java and in Python, and what most parts do with them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::client::Client;
use super::follower::{self, Follower};
use crate::Failure;
use crate::clients::install::{self, ExactlyOnce};
use crate::place::Place;
use crate::promises::Promises;

/// For programs that end by themselves.
const END_WAIT_MAX: Duration = Duration::from_secs(90);

/// The installed programs.
pub struct Programs(ExactlyOnce);

impl Programs {
    /// Installs them.
    pub fn install(place: &Place) -> Result<Self, Failure> {
        Ok(Self(install::exactly_once(place)?))
    }

    /// A Java class with its arguments. `temporary` is where it unpacks libraries to.
    pub fn java(
        &self,
        heap_mib: u32,
        temporary: &Path,
        class: &str,
        arguments: &[&str],
    ) -> Vec<String> {
        let mut command = vec!["java".to_string(), format!("-Xmx{heap_mib}m")];
        command.extend(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(String::from));
        command.push("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into());
        command.push("-Dorg.slf4j.simpleLogger.showDateTime=true".into());
        command.push("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS".into());
        command.push(format!("-Djava.io.tmpdir={}", temporary.display()));
        command.extend(["-cp".to_string(), self.0.class_path.clone(), class.to_string()]);
        command.extend(arguments.iter().map(|text| (*text).to_string()));
        command
    }

    /// One of `ExactlyOnce.java`.
    pub fn ours(
        &self,
        heap_mib: u32,
        temporary: &Path,
        program: &str,
        bootstrap: SocketAddr,
        arguments: &[&str],
    ) -> Vec<String> {
        let bootstrap = bootstrap.to_string();
        let arguments = [&[program, "--bootstrap", &bootstrap], arguments].concat();
        self.java(heap_mib, temporary, "ringlog.ExactlyOnce", &arguments)
    }

    /// One of `exactly_once.py`.
    pub fn python(&self, program: &str, bootstrap: SocketAddr, arguments: &[&str]) -> Vec<String> {
        let mut command = self.0.python.clone();
        command.extend([program.to_string(), "--bootstrap".into(), bootstrap.to_string()]);
        command.extend(arguments.iter().map(|text| (*text).to_string()));
        command
    }

    /// Creates topics, each `NAME:PARTITIONS`.
    pub fn create(
        &self,
        bootstrap: SocketAddr,
        folder: &Path,
        topics: &[&str],
    ) -> Result<(), Failure> {
        let arguments = [&["--topic"], topics].concat();
        let command = self.python("create", bootstrap, &arguments);
        Client::start("create", &command, folder)?.finish(END_WAIT_MAX).map(drop)
    }

    /// Starts to read what is committed of a topic, with librdkafka.
    pub fn follow(
        &self,
        bootstrap: SocketAddr,
        folder: &Path,
        topic: &str,
    ) -> Result<Follower, Failure> {
        let command = self.python("follow", bootstrap, &["--topic", topic]);
        Ok(Follower::new(Client::start("follow", &command, folder)?))
    }

    /// Starts to send the lines of a file, this many a second.
    pub fn produce(
        &self,
        bootstrap: SocketAddr,
        folder: &Path,
        topic: &str,
        file: &Path,
        lines_per_second: u64,
    ) -> Result<Client, Failure> {
        let (file, rate) = (file.display().to_string(), lines_per_second.to_string());
        let arguments = ["--topic", topic, "--file", &file, "--rate", &rate];
        Client::start("produce", &self.python("produce", bootstrap, &arguments), folder)
    }

    /// Ends a producer of [`Programs::produce`] and returns how many lines it had acknowledged.
    pub fn stop_producing(&self, producer: Client) -> Result<u64, Failure> {
        let text = producer.stop(END_WAIT_MAX)?;
        Ok(text.trim().parse().map_err(|_| format!("the producer said {text:?}"))?)
    }

    /// Reads a topic anew with librdkafka and with the Java consumer, which must find what the
    /// follower saw; returns that.
    pub fn read_again(
        &self,
        bootstrap: SocketAddr,
        folder: &Path,
        topic: &str,
        followed: &str,
        promises: &mut Promises,
    ) -> Result<String, Failure> {
        let arguments = ["--topic", topic];
        let librdkafka = self.python("read", bootstrap, &arguments);
        let librdkafka = Client::start("read-rdkafka", &librdkafka, folder)?;
        let librdkafka = librdkafka.finish(END_WAIT_MAX)?;
        let java = self.ours(256, folder, "read", bootstrap, &arguments);
        let java = Client::start("read-java", &java, folder)?.finish(END_WAIT_MAX)?;
        for (reader, text) in [("librdkafka", &librdkafka), ("Java", &java)] {
            promises.row(
                &format!("read again by {reader}"),
                format!("{} records", text.lines().count()),
                "the same as while they came".into(),
                follower::is_alike(followed, text),
            );
        }
        Ok(java)
    }
}
