//! What the kernel says of this process, for those who watch it from outside: read from `/proc`
//! when asked, by a thread that is no shard.

use std::fs;

/// Figures of the whole process. What could not be read is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Resident memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Virtual memory, bytes.
    pub virtual_bytes: Option<u64>,
    /// Processor time of all threads, seconds.
    pub cpu_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// The soft limit of open file descriptors.
    pub open_files_max: Option<u64>,
}

/// Reads them.
pub fn stats() -> ProcessStats {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let page_bytes = rustix::param::page_size() as u64;
    let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
    let cpu_ticks = field(&stat, 14).zip(field(&stat, 15)).map(|(user, system)| user + system);
    ProcessStats {
        resident_bytes: field(&stat, 24).map(|pages| pages * page_bytes),
        virtual_bytes: field(&stat, 23),
        cpu_seconds: cpu_ticks.map(|count| count as f64 / ticks),
        threads: field(&stat, 20),
        open_files: fs::read_dir("/proc/self/fd").ok().map(|found| found.count() as u64),
        open_files_max: limit(&limits, "Max open files"),
    }
}

/// Field `number` of a line of `/proc/…/stat`, counted from 1 as its manual page does. The second
/// is a name in parentheses that may hold anything, so they are counted from its end.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_a_name_that_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 2 3";
        assert_eq!((field(stat, 4), field(stat, 6), field(stat, 7)), (Some(1), Some(3), None));
        assert_eq!(field("", 4), None);
    }

    #[test]
    fn this_process_has_figures() {
        let stats = stats();
        assert!(stats.resident_bytes.is_some_and(|bytes| bytes > 4096), "{stats:?}");
        assert!(stats.open_files.is_some_and(|count| count >= 3), "{stats:?}");
        assert!(stats.threads.is_some_and(|count| count >= 1), "{stats:?}");
        assert!(stats.cpu_seconds.is_some() && stats.open_files_max.is_some(), "{stats:?}");
    }
}
