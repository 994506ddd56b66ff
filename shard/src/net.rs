//! Blocking sockets for threads that are no shards: the control thread's listener, and the
//! connections of command line tools. Nothing of the data path is here.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A socket that listens on `to`; port 0 lets the system choose.
///
/// # Errors
/// What the system says; [`io::ErrorKind::AddrInUse`] when someone else listens there.
pub fn listen(to: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(to)
}

/// A connection to `to`, with every later read and write bounded by `patience`.
///
/// # Errors
/// What the system says; [`io::ErrorKind::TimedOut`] after `patience`.
pub fn connect(to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
