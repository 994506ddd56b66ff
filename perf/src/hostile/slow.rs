//! Clients that do everything slowly, and one kind that does nothing but come and go.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ringlog_loadgen::raw;

use super::{Ground, MIB, P99s, settled_resident, socket};
use crate::Failure;

const MEMORY: &str = "128M";
const MEMORY_MIB: f64 = 128.0;
/// Beside the log's memory: receive buffers, connections, the program itself.
const BESIDES_MIB: f64 = 96.0;
const TOPIC: &str = "read";
/// More than the broker's memory holds.
const TOPIC_MESSAGES: &str = "3000000";
const FETCHES: usize = 20;
const FETCH_BYTES: i32 = 4 << 20;
const DRIBBLE_EVERY: Duration = Duration::from_millis(100);
const COMERS: usize = 4;

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let setup = ground.setup(&folder, &["--memory", MEMORY, "--durability", "memory"], &[])?;
    let mut server = ground.brokers.start(&setup)?;
    let fill = [
        "--topic",
        TOPIC,
        "--partitions",
        "4",
        "--messages",
        TOPIC_MESSAGES,
        "--message-bytes",
        "100",
        "--batch-messages",
        "500",
    ];
    ground.loadgen.run("produce", setup.address(), &fill)?;
    let alone = ground.good_client(&setup)?;

    let readers = slow_readers(ground, setup.address())?;
    let beside = ground.good_client(&setup)?;
    let resident = settled_resident(&server)? / MIB;
    ground.promises.note("slow readers", readers.len().to_string());
    ground.promises.at_most("memory with slow readers", resident, MEMORY_MIB + BESIDES_MIB, "MiB");
    ground.compare_p99("good client's p99 beside slow readers", &alone, &beside);
    drop(readers);

    let beside = beside_dribblers(ground, setup.address(), |ground| ground.good_client(&setup))?;
    let resident = settled_resident(&server)? / MIB;
    ground.promises.note("slow writers", ground.pace.slow_connections.to_string());
    ground.promises.at_most("memory after slow writers", resident, MEMORY_MIB + BESIDES_MIB, "MiB");
    ground.compare_p99("good client's p99 beside slow writers", &alone, &beside);

    let (beside, comings) = beside_comers(setup.address(), || ground.good_client(&setup))?;
    let resident = settled_resident(&server)? / MIB;
    ground.promises.note("connections that came and went", comings.to_string());
    ground.promises.at_most("memory after them", resident, MEMORY_MIB + BESIDES_MIB, "MiB");
    ground.compare_p99("good client's p99 beside comers and goers", &alone, &beside);
    server.check_alive()?;
    setup.stop(server)
}

/// Connections that ask for much and read nothing.
fn slow_readers(ground: &Ground<'_>, address: SocketAddr) -> Result<Vec<TcpStream>, Failure> {
    let questions = raw::fetch(TOPIC, 4, FETCH_BYTES).repeat(FETCHES);
    let connect = |_| {
        let mut stream = socket::connect(address)?;
        stream.write_all(&questions)?;
        Ok(stream)
    };
    (0..ground.pace.slow_connections).map(connect).collect()
}

/// Runs something while connections send large requests byte by byte.
fn beside_dribblers(
    ground: &Ground<'_>,
    address: SocketAddr,
    meanwhile: impl FnOnce(&Ground<'_>) -> Result<P99s, Failure>,
) -> Result<P99s, Failure> {
    let frame = raw::produce(TOPIC, 0, 1, 1 << 20);
    let connect = |_| {
        let mut stream = socket::connect(address)?;
        // The first half at once: what has arrived must be kept.
        stream.write_all(&frame[..32 << 10])?;
        Ok(stream)
    };
    let mut streams: Vec<TcpStream> =
        (0..ground.pace.slow_connections).map(connect).collect::<Result<_, Failure>>()?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = 32 << 10;
            while !is_over.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    // The broker may refuse those that hold too much.
                    let _ = stream.write_all(&frame[at..=at]);
                }
                at = (at + 1).min(frame.len() - 2);
                thread::sleep(DRIBBLE_EVERY);
            }
        });
        let report = meanwhile(ground);
        is_over.store(true, Ordering::Relaxed);
        report
    })
}

/// Runs something while connections come and go as fast as they can.
fn beside_comers(
    address: SocketAddr,
    meanwhile: impl FnOnce() -> Result<P99s, Failure>,
) -> Result<(P99s, u64), Failure> {
    let (is_over, comings) = (AtomicBool::new(false), AtomicU64::new(0));
    let report = thread::scope(|scope| {
        for index in 0..COMERS {
            let (is_over, comings) = (&is_over, &comings);
            scope.spawn(move || {
                socket::yield_to_others().map_err(|failure| failure.to_string())?;
                while !is_over.load(Ordering::Relaxed) {
                    // Some with a word, most without.
                    let met = match index {
                        0 => socket::connect_and_greet(address),
                        _ => socket::connect(address),
                    };
                    comings.fetch_add(u64::from(met.is_ok()), Ordering::Relaxed);
                }
                Ok::<(), String>(())
            });
        }
        let report = meanwhile();
        is_over.store(true, Ordering::Relaxed);
        report
    })?;
    Ok((report, comings.into_inner()))
}
