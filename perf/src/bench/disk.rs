//! The disk alone: what direct reads and writes give without any broker.
//!
//! One file of a size that no cache of ours helps with, written whole before; threads ask for its
//! blocks one after the other, each with one request under way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::figures::Figures;
use super::spec::{DiskOperation, DiskWork};
use crate::Failure;

const FILE_BYTES: u64 = 4 << 30;
const FILL_BYTES: usize = 1 << 20;
const ALIGN: usize = 4096;
const BLOCK_BYTES_MAX: usize = 64 << 20;
const DEPTH_MAX: usize = 256;

/// Bytes whose beginning suits direct I/O.
struct Aligned {
    bytes: Vec<u8>,
    first: usize,
    length: usize,
}

impl Aligned {
    fn new(length: usize) -> Self {
        let bytes = vec![0x5a; length + ALIGN];
        let first = bytes.as_ptr().align_offset(ALIGN);
        assert!(first < ALIGN, "bytes are no larger than their alignment");
        Self { bytes, first, length }
    }

    fn slice(&self) -> &[u8] {
        &self.bytes[self.first..][..self.length]
    }

    fn slice_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.first..][..self.length]
    }
}

/// Does the work for so long and says how fast it went.
///
/// # Errors
/// When the sizes make no sense, or the disk refuses.
pub fn run(folder: &Path, work: DiskWork, duration: Duration) -> Result<Figures, Failure> {
    let DiskWork { block_bytes, depth, operation, rate } = work;
    let is_aligned = block_bytes > 0 && block_bytes.is_multiple_of(ALIGN);
    if !is_aligned || block_bytes > BLOCK_BYTES_MAX || !(1..=DEPTH_MAX).contains(&depth) {
        return Err(format!(
            "disk: expected block-bytes to be a multiple of {ALIGN} up to {BLOCK_BYTES_MAX} and a \
             depth of 1 to {DEPTH_MAX}"
        )
        .into());
    }
    if operation == DiskOperation::WritePaced && !(rate > 0.0 && depth == 1) {
        return Err("disk: paced writes need a rate above 0 and a depth of 1".into());
    }
    let path = folder.join("disk.dat");
    fill(&path, FILE_BYTES).map_err(|error| format!("{}: {error}", path.display()))?;
    let bytes = match operation {
        DiskOperation::Read => by_threads(&path, OFlags::DIRECT, work, duration)?,
        DiskOperation::WriteThrough => {
            by_threads(&path, OFlags::DIRECT | OFlags::DSYNC, work, duration)?
        }
        DiskOperation::WriteFlush => flushed(&path, block_bytes * depth, duration)?,
        DiskOperation::WritePaced => return Ok(paced(&path, work, duration)?),
    };
    let rate = bytes as f64 / 1e6 / duration.as_secs_f64();
    Ok(Figures::from([("megabytes_per_second".to_string(), rate)]))
}

fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags.bits() as i32;
    OpenOptions::new().read(true).write(true).create(true).custom_flags(flags).open(path)
}

fn fill(path: &Path, file_bytes: u64) -> io::Result<()> {
    let file = open(path, OFlags::DIRECT)?;
    if file.metadata()?.len() >= file_bytes {
        return Ok(());
    }
    let block = Aligned::new(FILL_BYTES);
    for at in (0..file_bytes).step_by(FILL_BYTES) {
        file.write_all_at(block.slice(), at)?;
    }
    file.sync_all()
}

/// How many bytes went in one second or another until the end.
fn by_threads(path: &Path, flags: OFlags, work: DiskWork, duration: Duration) -> io::Result<u64> {
    let block_bytes = work.block_bytes as u64;
    let blocks = FILE_BYTES / block_bytes;
    let next = AtomicU64::new(0);
    let end = Instant::now() + duration;
    let one = || -> io::Result<u64> {
        let file = open(path, flags)?;
        let mut block = Aligned::new(work.block_bytes);
        let mut done = 0;
        while Instant::now() < end {
            let at = next.fetch_add(1, Ordering::Relaxed) % blocks * block_bytes;
            match work.operation {
                DiskOperation::Read => file.read_exact_at(block.slice_mut(), at)?,
                _ => file.write_all_at(block.slice(), at)?,
            }
            done += block_bytes;
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..work.depth).map(|_| scope.spawn(one)).collect();
        let outcomes = threads.into_iter().map(|thread| thread.join());
        outcomes.map(|outcome| outcome.unwrap_or_else(|_| Err(io::Error::other("died")))).sum()
    })
}

fn flushed(path: &Path, bytes: usize, duration: Duration) -> io::Result<u64> {
    let file = open(path, OFlags::DIRECT)?;
    let block = Aligned::new(bytes);
    let blocks = FILE_BYTES / bytes as u64;
    let end = Instant::now() + duration;
    let mut done = 0;
    while Instant::now() < end {
        file.write_all_at(block.slice(), done % blocks * bytes as u64)?;
        file.sync_data()?;
        done += 1;
    }
    Ok(done * bytes as u64)
}

fn paced(path: &Path, work: DiskWork, duration: Duration) -> io::Result<Figures> {
    let file = open(path, OFlags::DIRECT)?;
    let block = Aligned::new(work.block_bytes);
    let blocks = FILE_BYTES / work.block_bytes as u64;
    let count = (work.rate * duration.as_secs_f64()) as u64;
    let mut late_us = Vec::with_capacity(count as usize);
    let begun = Instant::now();
    for number in 0..count {
        let due = begun + Duration::from_secs_f64(number as f64 / work.rate);
        while Instant::now() < due {
            thread::yield_now();
        }
        file.write_all_at(block.slice(), number % blocks * work.block_bytes as u64)?;
        late_us.push(due.elapsed().as_secs_f64() * 1e6);
    }
    let took = begun.elapsed().as_secs_f64();
    let bytes = count * work.block_bytes as u64;
    let mut figures = percentiles(&mut late_us);
    figures.insert("megabytes_per_second".into(), bytes as f64 / 1e6 / took);
    figures.insert("requests_per_second".into(), count as f64 / took);
    Ok(figures)
}

/// The figures of latencies.
fn percentiles(values: &mut [f64]) -> Figures {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return Figures::new() };
    let at = |share: f64| values[((values.len() as f64 * share) as usize).min(last)];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let named = [
        ("mean_us", mean),
        ("p50_us", at(0.5)),
        ("p90_us", at(0.9)),
        ("p99_us", at(0.99)),
        ("p999_us", at(0.999)),
        ("p9999_us", at(0.9999)),
        ("max_us", at(1.0)),
    ];
    named.map(|(name, value)| (name.to_string(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_what_was_late() {
        let mut values: Vec<f64> = (1..=1000).rev().map(f64::from).collect();
        let figures = percentiles(&mut values);
        assert_eq!(figures["p50_us"], 501.0);
        assert_eq!(figures["p99_us"], 991.0);
        assert_eq!((figures["mean_us"], figures["max_us"]), (500.5, 1000.0));
        assert!(percentiles(&mut []).is_empty());
    }

    #[test]
    fn paced_writes_need_a_rate_and_one_at_a_time() {
        for (rate, depth) in [(0.0, 1), (f64::NAN, 1), (100.0, 2)] {
            let operation = DiskOperation::WritePaced;
            let work = DiskWork { operation, block_bytes: 4096, depth, rate };
            assert!(run(Path::new("/nowhere"), work, Duration::ZERO).is_err());
        }
    }

    #[test]
    fn senseless_sizes_are_refused() {
        for (block_bytes, depth) in [(0, 1), (100, 1), (4096, 0), (4096, 1000), (1 << 40, 1)] {
            let operation = DiskOperation::Read;
            let work = DiskWork { operation, block_bytes, depth, rate: 0.0 };
            assert!(run(Path::new("/nowhere"), work, Duration::ZERO).is_err());
        }
    }

    #[test]
    fn blocks_suit_direct_io() {
        for length in [4096, 12_288] {
            let mut block = Aligned::new(length);
            assert_eq!(block.slice_mut().as_ptr() as usize % ALIGN, 0);
            assert_eq!(block.slice().len(), length);
        }
    }
}
