//! The ops of a running log: taken in, checked against the rules, done in an order drawn from the
//! seed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::crash::torn;
use super::disk::{Change, Fault, SECTOR_BYTES, SimDisk};
use super::memory::SimWrite;
use crate::ops::{BLOCK_BYTES, DiskDone, DiskError, DiskErrorKind, DiskKind, DiskOp, FileId};

/// A file the log has opened.
#[derive(Debug)]
struct OpenFile {
    node: usize,
    /// The size that `Create`, `Allocate` and `Truncate` have set.
    size: u64,
    /// Blocks below were written before.
    written: u64,
}

#[derive(Debug)]
struct Queued {
    op: DiskOp<SimWrite>,
    /// For a flush: how many unsynced changes there were when it was asked for; those it covers.
    covers: usize,
}

/// What one running log has asked for.
#[derive(Debug, Default)]
pub(super) struct Queue {
    dir: PathBuf,
    waiting: Vec<Queued>,
    open: BTreeMap<FileId, OpenFile>,
    closed: BTreeSet<FileId>,
    ids: BTreeSet<u64>,
    broken: Option<String>,
}

impl SimDisk {
    /// A log runs in `dir` from now on; ops name their files relative to it.
    pub fn attach(&mut self, dir: &Path) {
        assert!(self.queue.waiting.is_empty(), "the log before was closed or has crashed");
        self.queue = Queue { dir: dir.to_owned(), ..Queue::default() };
    }

    /// Ops taken and not done.
    pub fn in_flight(&self) -> usize {
        self.queue.waiting.len()
    }

    /// The first rule of the ops that the log broke.
    pub fn broken_rule(&self) -> Option<&str> {
        self.queue.broken.as_deref()
    }

    /// An op in a few words.
    pub fn describe(op: &DiskOp<SimWrite>) -> String {
        describe(&op.kind)
    }

    /// Takes an op.
    pub fn submit(&mut self, op: DiskOp<SimWrite>) {
        if let Err(rule) = self.queue.check(&op)
            && self.queue.broken.is_none()
        {
            self.queue.broken = Some(format!("op {} {:?}: {rule}", op.id, describe(&op.kind)));
        }
        let covers = self.queue.open.get(&op.file).map_or(0, |f| self.nodes[f.node].unsynced.len());
        self.queue.waiting.push(Queued { op, covers });
    }

    /// Completes one op, any one; `None` when there is none or the machine has stopped.
    pub fn step(&mut self) -> Option<DiskDone> {
        if self.stopped || self.queue.waiting.is_empty() {
            return None;
        }
        let fault = self.op_fault();
        if self.stopped {
            return None;
        }
        let at = self.random.index(self.queue.waiting.len());
        let Queued { op, covers } = self.queue.waiting.swap_remove(at);
        let id = op.id;
        let result = match fault {
            Some(Fault::Fail(kind)) => {
                self.fail(op);
                Err(DiskError::new(kind))
            }
            _ => self.perform(op, covers),
        };
        Some(DiskDone { id, result })
    }

    /// The process ends: of each op in flight nothing, a part, or all was done.
    pub(super) fn abandon(&mut self) {
        while !self.queue.waiting.is_empty() {
            let at = self.random.index(self.queue.waiting.len());
            let Queued { op, covers } = self.queue.waiting.swap_remove(at);
            match self.random.below(3) {
                0 => {}
                1 => self.partly(op),
                _ => drop(self.perform(op, covers)),
            }
        }
        self.queue.open.clear();
    }

    fn perform(&mut self, op: DiskOp<SimWrite>, covers: usize) -> Result<(), DiskError> {
        let node = self.queue.open.get(&op.file).map(|file| file.node);
        let node = node.ok_or(DiskError::new(DiskErrorKind::NotFound));
        match op.kind {
            DiskKind::Create { path, size } => self.perform_create(op.file, &path, size)?,
            DiskKind::Allocate { to, .. } => {
                let node = node?;
                let size = self.nodes[node].data.len().max(to as usize);
                self.resize(node, size);
                self.queue.set_size(op.file, to);
            }
            DiskKind::Write { at, data } => {
                let bytes = self.read_memory(&data);
                self.nodes[node?].change(Change::Write { at: at as usize, bytes });
            }
            DiskKind::Sync => {
                let node = node?;
                let unsynced = self.nodes[node].unsynced.len();
                // What was completed while the flush was under way may be in it, or not.
                let extra = self.random.index(unsynced.saturating_sub(covers) + 1);
                self.nodes[node].sync((covers + extra).min(unsynced));
                self.shrink_covers(op.file, covers + extra);
            }
            DiskKind::Truncate { size } => {
                self.resize(node?, size as usize);
                self.queue.set_size(op.file, size);
            }
            DiskKind::Close => {
                self.queue.open.remove(&op.file);
                self.queue.closed.insert(op.file);
            }
            DiskKind::Replace { path, bytes } => self.put(&self.queue.dir.join(path), &bytes)?,
            DiskKind::Remove { path } => {
                let path = self.queue.dir.join(path);
                if self.names.contains_key(&path) {
                    self.rename_all(vec![(path, None)]);
                }
            }
            DiskKind::Retire { paths } => {
                self.unlink(paths);
                let dir = self.queue.dir.clone();
                self.sync_names(&dir);
            }
        }
        Ok(())
    }

    fn unlink(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            let path = self.queue.dir.join(path);
            if self.names.contains_key(&path) {
                self.rename_all(vec![(path, None)]);
            }
        }
    }

    fn perform_create(&mut self, file: FileId, path: &Path, size: u64) -> Result<(), DiskError> {
        let path = self.queue.dir.join(path);
        let node = self.create(&path)?;
        let written = (self.nodes[node].data.len() as u64).next_multiple_of(BLOCK_BYTES);
        let size = size.max(self.nodes[node].data.len() as u64);
        self.resize(node, size as usize);
        let dir = self.queue.dir.clone();
        self.sync_names(&dir);
        self.queue.open.insert(file, OpenFile { node, size, written });
        Ok(())
    }

    /// Flushes of the same file that are still under way now have fewer changes to cover.
    fn shrink_covers(&mut self, file: FileId, by: usize) {
        for queued in self.queue.waiting.iter_mut().filter(|queued| queued.op.file == file) {
            queued.covers = queued.covers.saturating_sub(by);
        }
    }

    /// Each sector as it was when the write was made, or as it is now.
    fn read_memory(&mut self, data: &SimWrite) -> Vec<u8> {
        let mut bytes = data.late();
        for (late, early) in bytes.chunks_mut(SECTOR_BYTES).zip(data.early().chunks(SECTOR_BYTES)) {
            if self.random.chance(1, 2) {
                late.copy_from_slice(early);
            }
        }
        bytes
    }

    fn fail(&mut self, op: DiskOp<SimWrite>) {
        match (&op.kind, self.queue.open.get(&op.file)) {
            (DiskKind::Sync, Some(file)) => {
                self.nodes[file.node].lose(&mut self.random);
                self.lost_flush = true;
                self.shrink_covers(op.file, usize::MAX);
            }
            _ => self.partly(op),
        }
    }

    /// Part of an op.
    fn partly(&mut self, op: DiskOp<SimWrite>) {
        let node = self.queue.open.get(&op.file).map(|file| file.node);
        match op.kind {
            DiskKind::Create { path, size } => {
                let path = self.queue.dir.join(path);
                if let Ok(node) = self.create(&path) {
                    let before = self.nodes[node].data.len();
                    let size = before.max(self.random.index(size as usize + 1));
                    self.resize(node, size);
                }
            }
            DiskKind::Allocate { from, to } => {
                if let Some(node) = node {
                    let size = self.nodes[node].data.len();
                    let part = self.random.range(from..to + 1) as usize;
                    self.resize(node, size.max(part));
                }
            }
            DiskKind::Write { at, data } => {
                let bytes = self.read_memory(&data);
                if let Some(change) = torn(at as usize, bytes, &mut self.random)
                    && let Some(node) = node
                {
                    self.nodes[node].change(change);
                }
            }
            DiskKind::Replace { path, bytes } => {
                self.put_partly(&self.queue.dir.join(path), &bytes);
            }
            DiskKind::Sync => {
                if let Some(node) = node {
                    let unsynced = self.nodes[node].unsynced.len();
                    let part = self.random.index(unsynced + 1);
                    self.nodes[node].sync(part);
                }
            }
            DiskKind::Retire { mut paths } => {
                paths.truncate(self.random.index(paths.len() + 1));
                self.unlink(paths);
            }
            DiskKind::Truncate { .. } | DiskKind::Close | DiskKind::Remove { .. } => {}
        }
    }
}

impl Queue {
    fn set_size(&mut self, file: FileId, size: u64) {
        if let Some(file) = self.open.get_mut(&file) {
            file.size = size;
            file.written = file.written.min(size);
        }
    }

    /// The rules of `ops.rs`.
    fn check(&mut self, op: &DiskOp<SimWrite>) -> Result<(), &'static str> {
        if !self.ids.insert(op.id) {
            return Err("its id was used before");
        }
        let in_flight = |kind: fn(&DiskKind<SimWrite>) -> bool| {
            self.waiting.iter().any(|w| w.op.file == op.file && kind(&w.op.kind))
        };
        match &op.kind {
            DiskKind::Replace { .. } | DiskKind::Remove { .. } => return Ok(()),
            DiskKind::Retire { .. } if self.open.contains_key(&op.file) => {
                return Err("a segment that is open is removed");
            }
            DiskKind::Retire { .. } => return Ok(()),
            DiskKind::Create { .. } => {
                if self.open.contains_key(&op.file) || self.closed.contains(&op.file) {
                    return Err("the file was opened before");
                }
                return Ok(());
            }
            DiskKind::Truncate { .. } if in_flight(is_write) => {
                return Err("a cut while a write is in flight");
            }
            DiskKind::Close if in_flight(|kind| !is_replace(kind)) => {
                return Err("closed while an op is in flight");
            }
            _ => {}
        }
        if in_flight(|kind| matches!(kind, DiskKind::Close | DiskKind::Truncate { .. })) {
            return Err("the file is being closed or cut");
        }
        let Some(file) = self.open.get_mut(&op.file) else {
            return Err("the file is not open");
        };
        let DiskKind::Write { at, data } = &op.kind else { return Ok(()) };
        let end = at + data.len() as u64;
        if !at.is_multiple_of(BLOCK_BYTES) || !end.is_multiple_of(BLOCK_BYTES) || *at >= end {
            return Err("a write is in whole blocks");
        }
        if end > file.size {
            return Err("a write past the allocated size");
        }
        if *at < file.written && data.len() as u64 != BLOCK_BYTES {
            return Err("a rewrite is an op of its own, one block long");
        }
        file.written = file.written.max(end);
        let overlaps = self.waiting.iter().any(|w| match &w.op.kind {
            DiskKind::Write { at: other, data } => {
                w.op.file == op.file && *other < end && *at < other + data.len() as u64
            }
            _ => false,
        });
        if overlaps { Err("two writes in flight over one block") } else { Ok(()) }
    }
}

fn is_write(kind: &DiskKind<SimWrite>) -> bool {
    matches!(kind, DiskKind::Write { .. } | DiskKind::Allocate { .. })
}

fn is_replace(kind: &DiskKind<SimWrite>) -> bool {
    matches!(kind, DiskKind::Replace { .. } | DiskKind::Remove { .. })
}

fn describe(kind: &DiskKind<SimWrite>) -> String {
    match kind {
        DiskKind::Write { at, data } => format!("Write {at}..{}", at + data.len() as u64),
        DiskKind::Replace { path, .. } => format!("Replace {}", path.display()),
        other => format!("{other:?}"),
    }
}
