//! What a number needs beside it: machine, commit, date (style §17).

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::place::Place;
use crate::process;

const SECONDS_PER_DAY: u64 = 86_400;

/// Where and on what an experiment ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// As the kernel names it.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// Release of the running kernel.
    pub kernel: String,
    /// Main memory.
    pub memory_gib: u64,
    /// Abbreviated, with `+` when the work tree differs from it.
    pub commit: String,
    /// YYYY-MM-DD, UTC.
    pub date: String,
}

impl Machine {
    /// Reads it all.
    pub fn read(place: &Place) -> Result<Self, Failure> {
        let cpu_text = fs::read_to_string("/proc/cpuinfo")?;
        let cpu_line = cpu_text.lines().find(|line| line.starts_with("model name"));
        let cpu = cpu_line.and_then(|line| line.split_once(": ")).map_or("unknown", |pair| pair.1);
        Ok(Self {
            cpu: cpu.to_string(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_string(),
            memory_gib: memory_bytes()?.div_ceil(1 << 30),
            commit: commit(place),
            date: date_of(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
        })
    }

    /// One line for a report.
    pub fn line(&self) -> String {
        format!(
            "{}, {} cores, {} GiB, Linux {}; commit {}; {}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.commit, self.date
        )
    }
}

/// Main memory of the machine.
pub fn memory_bytes() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| "/proc/meminfo has no MemTotal".into())
}

fn commit(place: &Place) -> String {
    let root = place.root().display().to_string();
    let git = |arguments: &[&str]| process::run("git", [&["-C", &root], arguments].concat());
    let Ok(id) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return "none".to_string();
    };
    let is_changed = git(&["status", "--porcelain"]).is_ok_and(|text| !text.is_empty());
    format!("{}{}", id.trim(), if is_changed { "+" } else { "" })
}

/// The civil date of a Unix time. Years are counted from March so that the leap day ends them; an
/// era is the 400 years after which the calendar repeats.
fn date_of(unix_seconds: u64) -> String {
    const DAYS_PER_ERA: u64 = 146_097;
    const DAYS_BEFORE_1970: u64 = 719_468; // since 0000-03-01
    let days = unix_seconds / SECONDS_PER_DAY + DAYS_BEFORE_1970;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date_of;

    #[test]
    fn dates() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_767_225_600, "2026-01-01"),
        ] {
            assert_eq!(date_of(seconds), date);
        }
    }
}
