//! The broker that is killed: with it, all its coordinators.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use ringlog_loadgen::raw;

use super::Ground;
use crate::Failure;
use crate::broker::{Brokers, Kind, Setup};
use crate::process::{self, Server};
use crate::promises::Promises;
use crate::table::Spread;

/// A broker that does not answer by then is not waited for.
const SERVE_WAIT_MAX: Duration = Duration::from_secs(60);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// Whether a broker answers there.
fn answers(address: SocketAddr) -> bool {
    let ask = || {
        let mut socket = TcpStream::connect_timeout(&address, ANSWER_WAIT_MAX)?;
        socket.set_read_timeout(Some(ANSWER_WAIT_MAX))?;
        socket.write_all(&raw::api_versions(1))?;
        socket.read_exact(&mut [0])
    };
    ask().is_ok()
}

/// A running broker and the times its restarts took.
pub struct Broker<'a> {
    brokers: &'a Brokers<'a>,
    /// How it is started again and again.
    pub setup: Setup<'a>,
    server: Option<Server>,
    restarts: Vec<Duration>,
}

impl<'a> Broker<'a> {
    /// Starts it on an empty folder.
    pub fn start(ground: &Ground<'a>, kind: Kind, folder: &'a Path) -> Result<Self, Failure> {
        let setup = Setup {
            kind,
            folder,
            port: process::free_ports(20)?,
            cpus: "",
            settings: &[],
            arguments: &[],
        };
        let server = Some(ground.brokers.start(&setup)?);
        Ok(Self { brokers: ground.brokers, setup, server, restarts: Vec::new() })
    }

    /// A port for another server, of the ten behind those of the broker.
    pub fn spare_port(&self, index: u16) -> u16 {
        assert!(index < 10, "twenty ports were looked for");
        self.setup.port + 10 + index
    }

    /// `kill -9`, and a new start on the same data at once. A broker that died before is an error.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.check_alive()?;
        if let Some(server) = self.server.take() {
            server.kill()?;
        }
        let started = Instant::now();
        let server = self.server.insert(self.brokers.start(&self.setup)?);
        // For a moment the dead process's ring may still take connections.
        while !answers(self.setup.address()) {
            server.check_alive()?;
            if started.elapsed() > SERVE_WAIT_MAX {
                return Err(format!("the broker does not serve after {SERVE_WAIT_MAX:?}").into());
            }
        }
        self.restarts.push(started.elapsed());
        Ok(())
    }

    /// Fails when it is no longer alive.
    pub fn check_alive(&mut self) -> Result<(), Failure> {
        self.server.as_mut().map_or(Ok(()), Server::check_alive)
    }

    /// Stops it in peace and says how often it was killed.
    pub fn finish(mut self, promises: &mut Promises) -> Result<(), Failure> {
        self.check_alive()?;
        let Some(server) = self.server.take() else { return Ok(()) };
        self.setup.stop(server)?;
        let times = Spread::of(self.restarts.iter().map(Duration::as_secs_f64));
        let times = times.map_or(String::new(), |times| format!(", back after {} s", times.text()));
        promises.note("kills of the broker", format!("{}{times}", self.restarts.len()));
        Ok(())
    }
}
