//! Files, names, what of both is durable, and the blocking side of the seam.
//!
//! Invariants: `durable` of a file plus all of its `unsynced` changes, in order, is its `data`
//! (until a flush fails: then what the flush left out is lost from both); the durable names plus
//! all `changes`, in order, are the names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::random::Random;
use crate::ops::{DirEntry, Disk, DiskError, DiskErrorKind};

/// What a device writes whole.
pub const SECTOR_BYTES: usize = 512;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// The i-th op of a running log, counted from 0 as they complete.
    Op(u64),
    /// The i-th call through the blocking seam, counted from 0.
    Call(u64),
}

/// What happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, having done part of its work; later ones work again.
    Fail(DiskErrorKind),
    /// The machine stops: nothing is done from here on until [`SimDisk::crash`].
    Stop,
}

/// A change of a file.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write {
        at: usize,
        bytes: Vec<u8>,
    },
    /// Grow with `fill`, or cut.
    Size {
        size: usize,
        fill: Vec<u8>,
    },
}

impl Change {
    pub(super) fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                if data.len() < at + bytes.len() {
                    data.resize(at + bytes.len(), 0);
                }
                data[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::Size { size, fill } => {
                let missing = size.saturating_sub(data.len());
                let from = fill.len().saturating_sub(missing);
                data.extend_from_slice(&fill[from..]);
                data.resize(*size, 0);
            }
        }
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub data: Vec<u8>,
    pub durable: Vec<u8>,
    pub unsynced: Vec<Change>,
}

impl Node {
    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.data);
        self.unsynced.push(change);
    }

    /// Makes the first `count` unsynced changes durable.
    pub(super) fn sync(&mut self, count: usize) {
        for change in self.unsynced.drain(..count) {
            change.apply(&mut self.durable);
        }
    }

    /// A flush that failed: some changes reached the medium, the others are gone, and no later
    /// flush knows of them.
    pub(super) fn lose(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.unsynced) {
            if random.chance(1, 2) {
                change.apply(&mut self.durable);
            }
        }
        self.data.clone_from(&self.durable);
    }
}

/// A change of names, whole or not at all: each path gets a file or none.
pub(super) type NameChange = Vec<(PathBuf, Option<usize>)>;

/// See [`super`].
#[derive(Debug)]
pub struct SimDisk {
    pub(super) nodes: Vec<Node>,
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) durable_names: BTreeMap<PathBuf, usize>,
    pub(super) durable_dirs: BTreeSet<PathBuf>,
    pub(super) changes: Vec<NameChange>,
    pub(super) random: Random,
    pub(super) queue: super::queue::Queue,
    pub(super) stale: bool,
    pub(super) stopped: bool,
    faults: Vec<(FaultPoint, Fault)>,
    calls: u64,
    ops: u64,
    faults_struck: u64,
    pub(super) lost_flush: bool,
}

impl SimDisk {
    /// An empty disk; `seed` decides everything that is left to chance.
    pub fn new(seed: u64) -> Self {
        Self {
            nodes: Vec::new(),
            names: BTreeMap::new(),
            dirs: BTreeSet::new(),
            durable_names: BTreeMap::new(),
            durable_dirs: BTreeSet::new(),
            changes: Vec::new(),
            random: Random::new(seed),
            queue: super::queue::Queue::default(),
            stale: false,
            stopped: false,
            faults: Vec::new(),
            calls: 0,
            ops: 0,
            faults_struck: 0,
            lost_flush: false,
        }
    }

    /// Fresh space holds what another file holds at that place, as recycled space would, instead of
    /// zeros.
    pub fn fill_with_stale(&mut self, stale: bool) {
        self.stale = stale;
    }

    /// Adds a fault.
    pub fn inject(&mut self, point: FaultPoint, fault: Fault) {
        self.faults.push((point, fault));
    }

    /// Forgets faults that have not struck.
    pub fn heal(&mut self) {
        self.faults.clear();
    }

    /// Calls through the blocking seam so far.
    pub fn calls_count(&self) -> u64 {
        self.calls
    }

    /// Ops completed so far.
    pub fn ops_count(&self) -> u64 {
        self.ops
    }

    /// Faults that have struck.
    pub fn faults_count(&self) -> u64 {
        self.faults_struck
    }

    /// Whether the machine has stopped: only [`SimDisk::crash`] brings it back.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether a flush has failed since the last time this was asked: what was written and not
    /// flushed may be gone.
    pub fn take_lost_flush(&mut self) -> bool {
        std::mem::take(&mut self.lost_flush)
    }

    /// The names and sizes of all files, to look at.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let size = |node: usize| self.nodes[node].data.len() as u64;
        self.names.iter().map(|(path, &node)| (path.clone(), size(node))).collect()
    }

    /// A file's content, to look at.
    pub fn content(&self, path: &Path) -> Option<&[u8]> {
        self.names.get(path).map(|&node| self.nodes[node].data.as_slice())
    }

    pub(super) fn op_fault(&mut self) -> Option<Fault> {
        let at = FaultPoint::Op(self.ops);
        self.ops += 1;
        self.strike(at)
    }

    /// Counts a call; an error when a fault strikes it, or the machine has stopped.
    fn call(&mut self) -> Result<(), DiskError> {
        let at = FaultPoint::Call(self.calls);
        self.calls += 1;
        match self.strike(at) {
            Some(Fault::Fail(kind)) => Err(DiskError::new(kind)),
            Some(Fault::Stop) => Err(DiskError::new(DiskErrorKind::Io)),
            None if self.stopped => Err(DiskError::new(DiskErrorKind::Io)),
            None => Ok(()),
        }
    }

    fn strike(&mut self, at: FaultPoint) -> Option<Fault> {
        let index = self.faults.iter().position(|&(point, _)| point == at)?;
        let (_, fault) = self.faults.swap_remove(index);
        self.faults_struck += 1;
        self.stopped |= fault == Fault::Stop;
        Some(fault)
    }

    pub(super) fn node(&self, path: &Path) -> Result<usize, DiskError> {
        self.names.get(path).copied().ok_or(DiskError::new(DiskErrorKind::NotFound))
    }

    pub(super) fn rename_all(&mut self, change: NameChange) {
        for (path, node) in &change {
            match node {
                Some(node) => drop(self.names.insert(path.clone(), *node)),
                None => drop(self.names.remove(path)),
            }
        }
        self.changes.push(change);
    }

    /// The file at `path`, made when it is not there.
    pub(super) fn create(&mut self, path: &Path) -> Result<usize, DiskError> {
        if let Some(&node) = self.names.get(path) {
            return Ok(node);
        }
        if !path.parent().is_some_and(|dir| self.has_dir(dir)) {
            return Err(DiskError::new(DiskErrorKind::NotFound));
        }
        self.nodes.push(Node::default());
        let node = self.nodes.len() - 1;
        self.rename_all(vec![(path.to_owned(), Some(node))]);
        Ok(node)
    }

    fn has_dir(&self, dir: &Path) -> bool {
        dir.as_os_str().is_empty() || self.dirs.contains(dir)
    }

    pub(super) fn resize(&mut self, node: usize, size: usize) {
        let from = self.nodes[node].data.len();
        let fill = if size > from { self.fresh(node, from, size) } else { Vec::new() };
        self.nodes[node].change(Change::Size { size, fill });
    }

    /// What fresh space holds.
    fn fresh(&mut self, node: usize, from: usize, to: usize) -> Vec<u8> {
        let mut fill = vec![0; to - from];
        let is_log = |path: &Path| path.extension().is_some_and(|suffix| suffix == "log");
        if !self.stale || !self.names.iter().any(|(path, &n)| n == node && is_log(path)) {
            return fill;
        }
        let other = |(path, &n): (&PathBuf, &usize)| (n != node && is_log(path)).then_some(n);
        let others: Vec<usize> = self.names.iter().filter_map(other).collect();
        if !others.is_empty() {
            let donor = &self.nodes[self.random.pick(&others)].data;
            let upto = to.min(donor.len()).max(from);
            if from < upto {
                fill[..upto - from].copy_from_slice(&donor[from..upto]);
            }
        }
        fill
    }

    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        if !path.parent().is_some_and(|dir| self.has_dir(dir)) {
            return Err(DiskError::new(DiskErrorKind::NotFound));
        }
        self.nodes.push(Node { data: bytes.to_vec(), durable: bytes.to_vec(), unsynced: vec![] });
        self.rename_all(vec![(path.to_owned(), Some(self.nodes.len() - 1))]);
        self.sync_names(path.parent().expect("a file lies in a directory"));
        Ok(())
    }

    /// A replacement that got no further than its temporary file.
    pub(super) fn put_partly(&mut self, path: &Path, bytes: &[u8]) {
        let temporary = temporary(path);
        if let Ok(node) = self.create(&temporary) {
            let part = self.random.index(bytes.len() + 1);
            let bytes = bytes[..part].to_vec();
            self.nodes[node].change(Change::Write { at: 0, bytes });
        }
    }

    pub(super) fn sync_names(&mut self, dir: &Path) {
        let (durable, changes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| change.iter().any(|(path, _)| path.parent() == Some(dir)));
        self.changes = changes;
        for (path, node) in durable.into_iter().flatten() {
            match node {
                Some(node) => drop(self.durable_names.insert(path, node)),
                None => drop(self.durable_names.remove(&path)),
            }
        }
    }
}

/// Where a replacement is written first.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

impl Disk for SimDisk {
    fn list(&mut self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.call()?;
        if !self.has_dir(dir) {
            return Err(DiskError::new(DiskErrorKind::NotFound));
        }
        let entry = |path: &Path, is_dir, size| {
            let name = path.file_name()?.to_str()?.to_owned();
            (path.parent() == Some(dir)).then_some(DirEntry { name, is_dir, size })
        };
        let files = self.files();
        let files = files.iter().filter_map(|(path, size)| entry(path, false, *size));
        let mut out: Vec<_> =
            files.chain(self.dirs.iter().filter_map(|path| entry(path, true, 0))).collect();
        for at in 1..out.len() {
            out.swap(at, self.random.index(at + 1));
        }
        Ok(out)
    }

    fn size(&mut self, path: &Path) -> Result<u64, DiskError> {
        self.call()?;
        Ok(self.nodes[self.node(path)?].data.len() as u64)
    }

    fn read_at(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize, DiskError> {
        self.call()?;
        let data = &self.nodes[self.node(path)?].data;
        let rest = data.get(at as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&mut self, path: &Path, at: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.call()?;
        let node = self.create(path)?;
        self.nodes[node].change(Change::Write { at: at as usize, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync(&mut self, path: &Path) -> Result<(), DiskError> {
        let node = self.node(path)?;
        if let Err(error) = self.call() {
            if !self.stopped {
                self.nodes[node].lose(&mut self.random);
                self.lost_flush = true;
            }
            return Err(error);
        }
        let count = self.nodes[node].unsynced.len();
        self.nodes[node].sync(count);
        Ok(())
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Result<(), DiskError> {
        self.call()?;
        let node = self.node(path)?;
        self.resize(node, size as usize);
        Ok(())
    }

    fn replace(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
        if let Err(error) = self.call() {
            self.put_partly(path, bytes);
            return Err(error);
        }
        self.put(path, bytes)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.call()?;
        let node = self.node(from)?;
        self.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(node))]);
        Ok(())
    }

    fn remove(&mut self, path: &Path) -> Result<(), DiskError> {
        self.call()?;
        self.node(path)?;
        self.rename_all(vec![(path.to_owned(), None)]);
        Ok(())
    }

    fn create_dir(&mut self, dir: &Path) -> Result<(), DiskError> {
        self.call()?;
        if !dir.parent().is_some_and(|parent| self.has_dir(parent)) {
            return Err(DiskError::new(DiskErrorKind::NotFound));
        }
        self.dirs.insert(dir.to_owned());
        Ok(())
    }

    fn sync_dir(&mut self, dir: &Path) -> Result<(), DiskError> {
        self.call()?;
        self.sync_names(dir);
        let inside = self.dirs.iter().filter(|inner| inner.parent() == Some(dir)).cloned();
        self.durable_dirs.extend(inside);
        Ok(())
    }
}
