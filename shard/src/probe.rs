//! What the kernel, the limits and a file system offer, and what to do where they fall short.
//! Used at every start, and by `ringlog check`.

use std::fmt;
use std::io;
use std::path::Path;

use io_uring::opcode;
use rustix::fs::FsWord;
use rustix::process::{Resource, getrlimit};

use crate::buf::BLOCK_BYTES;
use crate::fs::{DataDir, File, OpenMode};
use crate::host_glommio::MEMLOCK_BYTES_MIN;
use crate::uring;

/// Locked memory that lets a shard register its chunks and glommio start.
const MEMLOCK_BYTES_GOOD: u64 = 8 << 20;

/// Open files that serve the default of max.connections, and 4096 segments.
const OPEN_FILES_GOOD: u64 = 20_480;

/// The file with which a directory is tried out.
const TRIAL_FILE: &str = ".ringlog-probe";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, slower or smaller than it could.
    Slow,
    /// It does not work.
    Fatal,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What to do; empty where all is well.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: found {}, expected {}", self.name, self.found, self.expected)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(out, "; {}", self.remedy) }
    }
}

/// A finding that is fine, or not, with what to do then.
fn finding(
    name: &'static str,
    (found, expected): (impl Into<String>, impl Into<String>),
    fine: bool,
    (level, remedy): (Level, &str),
) -> Finding {
    let (level, remedy) = if fine { (Level::Ok, "") } else { (level, remedy) };
    let (found, expected, remedy) = (found.into(), expected.into(), remedy.into());
    Finding { name, level, found, expected, remedy }
}

/// Raises the limit of open files to the most that this process may set, and says what it is.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.unwrap_or(u64::MAX)
}

/// Looks at the kernel and the limits of this process.
pub fn kernel() -> Vec<Finding> {
    let mut findings = vec![ring()];
    if findings[0].level == Level::Ok {
        findings.push(operations());
    }
    findings.push(locked_memory());
    findings.push(open_files());
    findings.push(cpus());
    findings
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn ring() -> Finding {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    ring_finding(uring::try_out(), disabled.ok().as_deref().map(str::trim), &kernel_release())
}

fn ring_finding(tried: io::Result<()>, disabled: Option<&str>, release: &str) -> Finding {
    let error = tried.as_ref().err().and_then(io::Error::raw_os_error);
    let found = match &tried {
        Ok(()) => format!("it works (Linux {release})"),
        Err(error) => format!("{error} (Linux {release})"),
    };
    let remedy = match (error, disabled) {
        (Some(libc::EPERM), Some("1")) => {
            "sysctl kernel.io_uring_disabled is 1: set it to 0, or run in its group \
             (kernel.io_uring_group) or with CAP_SYS_ADMIN"
        }
        (Some(libc::EPERM), Some("2")) => {
            "sysctl kernel.io_uring_disabled is 2: set it to 0 (sysctl -w \
             kernel.io_uring_disabled=0)"
        }
        (Some(libc::EPERM), _) => {
            "a seccomp profile forbids it: allow io_uring_setup, io_uring_enter and \
             io_uring_register (Docker: --security-opt seccomp=unconfined, or your own profile)"
        }
        (Some(libc::ENOMEM), _) => "raise the limit of locked memory (ulimit -l)",
        _ => "use Linux 6.1 or newer, with CONFIG_IO_URING",
    };
    let expected = "io_uring with SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1)";
    finding("io_uring", (found, expected), tried.is_ok(), (Level::Fatal, remedy))
}

fn operations() -> Finding {
    let needed = [
        ("accept", opcode::Accept::CODE),
        ("recv", opcode::Recv::CODE),
        ("send", opcode::Send::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("connect", opcode::Connect::CODE),
        ("read", opcode::Read::CODE),
        ("write", opcode::Write::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("fallocate", opcode::Fallocate::CODE),
        ("sync_file_range", opcode::SyncFileRange::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("msg_ring", opcode::MsgRingData::CODE),
    ];
    let missing = match uring::unsupported(&needed) {
        Ok(missing) => missing.join(", "),
        Err(error) => error.to_string(),
    };
    let found = if missing.is_empty() { "all".into() } else { format!("missing: {missing}") };
    let expected = format!("all {} operations that shards use", needed.len());
    let remedy = (Level::Fatal, "use Linux 6.1 or newer");
    finding("io_uring operations", (found, expected), missing.is_empty(), remedy)
}

fn kib(bytes: Option<u64>) -> String {
    bytes.map_or("unlimited".into(), |bytes| format!("{} KiB", bytes >> 10))
}

fn locked_memory() -> Finding {
    memlock_finding(getrlimit(Resource::Memlock).current)
}

fn memlock_finding(limit: Option<u64>) -> Finding {
    let expected = format!("at least {}", kib(Some(MEMLOCK_BYTES_GOOD)));
    let remedy = if limit.is_some_and(|limit| limit < MEMLOCK_BYTES_MIN) {
        "raise `ulimit -l` (LimitMEMLOCK= under systemd, --ulimit memlock= in Docker); below 512 \
         KiB glommio does not start, and shards run on plain threads"
    } else {
        "raise `ulimit -l` (LimitMEMLOCK= under systemd, --ulimit memlock= in Docker): log memory \
         that cannot be registered costs up to a fifth of the write throughput"
    };
    let fine = limit.is_none_or(|limit| limit >= MEMLOCK_BYTES_GOOD);
    finding("locked memory (RLIMIT_MEMLOCK)", (kib(limit), expected), fine, (Level::Slow, remedy))
}

fn open_files() -> Finding {
    let limit = getrlimit(Resource::Nofile).current;
    let found = limit.map_or("unlimited".into(), |limit| limit.to_string());
    let fine = limit.is_none_or(|limit| limit >= OPEN_FILES_GOOD);
    let remedy = "raise `ulimit -n` (LimitNOFILE= under systemd): each connection takes \
                  one, each segment being written up to two";
    let expected = format!("at least {OPEN_FILES_GOOD}");
    finding("open files (RLIMIT_NOFILE)", (found, expected), fine, (Level::Slow, remedy))
}

fn cpus() -> Finding {
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let list: Vec<String> = allowed.iter().map(|core| core.id.to_string()).collect();
    let found = format!("{} ({})", allowed.len(), list.join(","));
    let remedy = "the affinity mask of the process cannot be read; shards run unpinned";
    finding("cpus", (found, "at least 1"), !allowed.is_empty(), (Level::Slow, remedy))
}

/// Looks at a directory and its file system, by writing a small file that is then removed.
pub fn directory(path: &Path) -> Vec<Finding> {
    let expected = "a directory that can be written to";
    let (file, dir) = match try_out(path) {
        Ok(found) => found,
        Err(error) => {
            let remedy = "create it, or give it to the user that runs ringlog";
            let found = format!("{}: {error}", path.display());
            let pair = (found, expected);
            return vec![finding("data directory", pair, false, (Level::Fatal, remedy))];
        }
    };
    let mut findings = vec![finding(
        "data directory",
        (path.display().to_string(), expected),
        true,
        (Level::Ok, ""),
    )];
    findings.push(file_system(&file));
    findings.push(direct(&file));
    findings.push(alignment(&file));
    findings.push(allocation(&file));
    // The file was made above; if it cannot be removed, the next probe will use it again.
    let _ = dir.remove(TRIAL_FILE);
    findings
}

fn try_out(path: &Path) -> io::Result<(File, DataDir)> {
    let dir = DataDir::create(path)?;
    let file = dir.open_direct(TRIAL_FILE, OpenMode::Create)?;
    Ok((file, dir))
}

/// Names of file systems by the magic number that statfs gives.
const FILE_SYSTEMS: [(FsWord, &str); 9] = [
    (0xEF53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683E, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x794C_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0x2FC1_2FC1, "zfs"),
    (0x6573_5546, "fuse"),
    (0xF2F5_2010, "f2fs"),
];

fn file_system(file: &File) -> Finding {
    let magic = rustix::fs::fstatfs(file).map(|found| found.f_type).unwrap_or_default();
    let name = FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
    let name = name.map_or_else(|| format!("{magic:#x}"), |(_, name)| name.to_string());
    let fine = matches!(name.as_str(), "ext4" | "xfs" | "f2fs");
    let remedy = "put the data directory on a local ext4 or xfs: others copy on write, go \
                  through the page cache, or lose data with the machine";
    finding("file system", (name, "ext4 or xfs"), fine, (Level::Slow, remedy))
}

fn direct(file: &File) -> Finding {
    let found = if file.is_direct() { "supported" } else { "refused" };
    let remedy = "buffered I/O is used instead, at a fifth of the throughput; use a file system \
                  with O_DIRECT";
    let slow = (Level::Slow, remedy);
    finding("direct I/O (O_DIRECT)", (found, "supported"), file.is_direct(), slow)
}

fn alignment(file: &File) -> Finding {
    let told = file.alignment().ok().flatten();
    let found = told.map_or("not told by the kernel".into(), |told| {
        format!("memory {} B, offset {} B", told.memory, told.offset)
    });
    let most = BLOCK_BYTES as u32;
    let fine = told.is_none_or(|told| told.memory <= most && told.offset <= most);
    let remedy = "buffered I/O is used instead; use a disk with smaller sectors";
    let expected = format!("at most {BLOCK_BYTES} B each");
    finding("direct I/O alignment", (found, expected), fine, (Level::Slow, remedy))
}

fn allocation(file: &File) -> Finding {
    let allocated =
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, BLOCK_BYTES as u64);
    let found = allocated.map_or_else(|error| error.to_string(), |()| "supported".into());
    let remedy = "files grow with every write, which costs most of the throughput; use ext4 or xfs";
    finding("fallocate", (found, "supported"), allocated.is_ok(), (Level::Slow, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_run_shards() {
        for finding in kernel().into_iter().chain(directory(&std::env::temp_dir())) {
            println!("{finding}");
            assert!(finding.level != Level::Fatal, "{finding}");
        }
    }

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let check = |error: i32, disabled, words: &str| {
            let tried = Err(io::Error::from_raw_os_error(error));
            let finding = ring_finding(tried, disabled, "5.4.0");
            assert_eq!(finding.level, Level::Fatal);
            assert!(finding.to_string().contains(words), "{finding}");
        };
        check(libc::EPERM, Some("2"), "kernel.io_uring_disabled=0");
        check(libc::EPERM, Some("1"), "kernel.io_uring_group");
        check(libc::EPERM, Some("0"), "seccomp");
        check(libc::EINVAL, None, "Linux 6.1 or newer");
        check(libc::ENOSYS, None, "CONFIG_IO_URING");
        assert!(memlock_finding(Some(64 << 10)).to_string().contains("glommio does not start"));
        assert_eq!(memlock_finding(None).level, Level::Ok);
    }
}
