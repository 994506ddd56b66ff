//! Sockets, threads and limits of attackers.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringlog_loadgen::raw;
use socket2::SockRef;

use crate::Failure;
use crate::process;

const ANSWER_BYTES_MAX: usize = 128 << 20;
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Connects. When it is closed from this side, nothing of it stays behind: a million connections
/// would use up all ports otherwise.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_write_timeout(Some(WAIT_MAX))?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

/// Connects, and has one question answered: the broker has made everything that a connection needs.
pub fn connect_and_greet(address: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    ask(&mut stream, &raw::api_versions(1))?;
    Ok(stream)
}

/// Sends a frame and reads the next answer's content.
pub fn ask(stream: &mut TcpStream, frame: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(frame)?;
    read_frame(stream)
}

/// The next frame's content.
pub fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let bytes = u32::from_be_bytes(size) as usize;
    if bytes > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; bytes];
    stream.read_exact(&mut content)?;
    Ok(content)
}

/// As many descriptors as the system lets us have, for this process and those that it starts.
pub fn allow_many() -> Result<(), Failure> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(4)).unwrap_or("1024");
    let limit = format!("--nofile={hard}:{hard}");
    process::run("prlimit", [&limit, "--pid", &std::process::id().to_string()]).map(|_| ())
}

/// This thread, and those that it starts, run on one core.
pub fn pin_to(cpu: usize) -> Result<(), Failure> {
    let arguments = ["-pc".to_string(), cpu.to_string(), std::process::id().to_string()];
    process::run("taskset", arguments).map(|_| ())
}

/// This thread runs only when nobody else wants to.
pub fn yield_to_others() -> Result<(), Failure> {
    let link = fs::read_link("/proc/thread-self")?;
    let id = link.file_name().ok_or("/proc/thread-self has no name")?.to_owned();
    process::run("chrt", ["--idle".into(), "--pid".into(), "0".into(), id]).map(|_| ())
}
