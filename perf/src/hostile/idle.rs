//! Thousands of connections that do nothing.

use super::{Ground, MIB, settled_resident, socket};
use crate::Failure;

/// Resident memory of the broker for one connection that is idle.
const CONNECTION_BYTES_MAX: f64 = 10.0 * 1024.0;

pub fn run(ground: &mut Ground<'_>) -> Result<(), Failure> {
    let folder = ground.folder()?;
    let setup = ground.setup(&folder, &["--memory", "128M", "--durability", "memory"], &[])?;
    let mut server = ground.brokers.start(&setup)?;
    let alone = ground.good_client(&setup)?;
    let before = settled_resident(&server)?;
    let started = std::time::Instant::now();
    let count = ground.pace.idle_connections;
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(socket::connect_and_greet(setup.address())?);
    }
    let per_second = count as f64 / started.elapsed().as_secs_f64();
    let after = settled_resident(&server)?;
    let beside = ground.good_client(&setup)?;
    // None of them was closed meanwhile.
    for stream in connections.iter_mut().step_by(97) {
        socket::ask(stream, &ringlog_loadgen::raw::api_versions(2))?;
    }
    let used = server.running_time()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let used = (server.running_time()? - used).as_secs_f64() / 2.0;
    drop(connections);
    let gone = settled_resident(&server)?;
    server.check_alive()?;
    setup.stop(server)?;
    ground.promises.note("idle connections", count.to_string());
    ground.promises.note("accepted and answered", format!("{per_second:.0} a second"));
    let each = (after - before) / count as f64;
    ground.promises.at_most("memory of each", each, CONNECTION_BYTES_MAX, "bytes");
    ground.promises.note("memory with them", format!("{:.1} MiB", after / MIB));
    ground.promises.note("memory after them", format!("{:.1} MiB", gone / MIB));
    ground.promises.note("cpu of the idle broker", format!("{:.2} %", used * 100.0));
    ground.compare_p99("good client's p99", &alone, &beside);
    Ok(())
}
