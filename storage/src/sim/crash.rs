//! What is left after a crash.

use super::disk::{Change, SECTOR_BYTES, SimDisk};
use super::random::Random;

/// How the machine, or the process, ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies: what was completed stays, of what was in flight any part.
    Process,
    /// The power fails: what was synced stays, of the rest any part.
    Power,
}

impl SimDisk {
    /// Ends the running log's world: nothing is in flight or open afterwards, and the disk works
    /// again.
    pub fn crash(&mut self, crash: Crash) {
        self.stopped = false;
        self.heal();
        self.abandon();
        if crash == Crash::Power {
            self.cut_power();
        }
    }

    fn cut_power(&mut self) {
        let random = &mut self.random;
        for node in &mut self.nodes {
            // Now and then a whole cache survives or is lost, else each change has its own luck.
            let luck = random.pick(&[0, 50, 50, 50, 90, 100]);
            for change in std::mem::take(&mut node.unsynced) {
                if let Some(kept) = kept(change, luck, random) {
                    kept.apply(&mut node.durable);
                }
            }
            node.data.clone_from(&node.durable);
        }
        let luck = random.pick(&[0, 50, 50, 100]);
        for change in std::mem::take(&mut self.changes) {
            if !random.chance(luck, 100) {
                continue;
            }
            for (path, node) in change {
                match node {
                    Some(node) => drop(self.durable_names.insert(path, node)),
                    None => drop(self.durable_names.remove(&path)),
                }
            }
        }
        let lost: Vec<_> = self.dirs.difference(&self.durable_dirs).cloned().collect();
        for dir in lost {
            let used = self.durable_names.keys().any(|path| path.starts_with(&dir));
            if used || random.chance(1, 2) {
                self.durable_dirs.insert(dir);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.dirs.clone_from(&self.durable_dirs);
    }
}

/// What is left of an unsynced change.
fn kept(change: Change, luck: u64, random: &mut Random) -> Option<Change> {
    if random.chance(luck, 100) {
        return Some(change);
    }
    match change {
        Change::Write { at, bytes } if !bytes.is_empty() && random.chance(1, 2) => {
            torn(at, bytes, random)
        }
        _ => None,
    }
}

/// One run of whole sectors of a write.
pub(super) fn torn(at: usize, bytes: Vec<u8>, random: &mut Random) -> Option<Change> {
    let sectors = bytes.len().div_ceil(SECTOR_BYTES);
    let from = if random.chance(1, 2) { 0 } else { random.index(sectors) } * SECTOR_BYTES;
    let upto = bytes.len().min((from / SECTOR_BYTES + 1 + random.index(sectors)) * SECTOR_BYTES);
    (from < upto).then(|| Change::Write { at: at + from, bytes: bytes[from..upto].to_vec() })
}
