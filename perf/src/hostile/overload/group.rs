//! A control group with a memory limit, in either version of the file system.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Names of files, by version: limit, peak.
const VERSIONS: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.peak"),
];

/// A group of our own; removed at the end, when nothing runs in it any more.
pub struct Group {
    folder: PathBuf,
    parent: PathBuf,
    peak: &'static str,
}

impl Group {
    /// Makes it; needs root, as a rule.
    pub fn create(limit_bytes: u64) -> Result<Group, Failure> {
        let found = VERSIONS.iter().find(|(root, limit, _)| {
            // The root of version 2 has no limit file, but lists its controllers.
            let lists = fs::read_to_string(Path::new(root).join("cgroup.controllers"));
            Path::new(root).join(limit).exists() || lists.is_ok_and(|it| it.contains("memory"))
        });
        let (root, limit, peak) = *found.ok_or("no control groups for memory here")?;
        let folder = Path::new(root).join(format!("ringlog-hostile-{}", std::process::id()));
        let control = Path::new(root).join("cgroup.subtree_control");
        if control.exists() {
            fs::write(control, "+memory")?;
        }
        let told = |what: &str, error| format!("{what} {}: {error}", folder.display());
        fs::create_dir(&folder).map_err(|error| told("cannot make", error))?;
        let group = Group { folder: folder.clone(), parent: own_group(root), peak };
        let limited = fs::write(folder.join(limit), limit_bytes.to_string());
        limited.map_err(|error| told("cannot limit", error))?;
        Ok(group)
    }

    /// Starts something inside it: whoever is started inherits the group.
    pub fn within<T>(&self, start: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.enter(&self.folder)?;
        let started = start();
        self.enter(&self.parent)?;
        started
    }

    fn enter(&self, folder: &Path) -> Result<(), Failure> {
        let id = std::process::id().to_string();
        let entered = fs::write(folder.join("cgroup.procs"), id);
        entered.map_err(|error| format!("cannot enter {}: {error}", folder.display()).into())
    }

    /// The most memory that it ever had.
    pub fn peak_bytes(&self) -> Option<u64> {
        fs::read_to_string(self.folder.join(self.peak)).ok()?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The group that this process is in now.
fn own_group(root: &str) -> PathBuf {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = text.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let is_ours = match root.ends_with("memory") {
            true => controllers.split(',').any(|name| name == "memory"),
            false => controllers.is_empty(),
        };
        is_ours.then(|| path.trim_start_matches('/').to_string())
    });
    let folder = Path::new(root).join(path.unwrap_or_default());
    // In a container the path may be told as the host sees it.
    if folder.is_dir() { folder } else { PathBuf::from(root) }
}
