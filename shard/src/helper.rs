//! A thread beside each shard for what blocks: opening files, recovery, small files.
//!
//! Invariant: jobs of a shard run one after the other, in order, on a thread that is not pinned;
//! each result reaches the shard through its mailbox.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::bus::Mailbox;

/// Work that blocks and ends in a message to its shard.
pub(crate) type Job<M> = Box<dyn FnOnce() -> M + Send>;

/// The thread. When it is dropped, jobs not yet begun are forgotten, and the one that runs is
/// waited for.
pub(crate) struct Helper<M> {
    jobs: Option<Sender<Job<M>>>,
    thread: Option<JoinHandle<()>>,
    given: u64,
}

impl<M: Send + 'static> Helper<M> {
    pub(crate) fn start(name: String, mailbox: Arc<Mailbox<M>>) -> io::Result<Helper<M>> {
        let (jobs, queue) = channel::<Job<M>>();
        let run = move || {
            for job in queue {
                if mailbox.is_stopped() {
                    break;
                }
                mailbox.post(job());
            }
        };
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Helper { jobs: Some(jobs), thread: Some(thread), given: 0 })
    }

    pub(crate) fn give(&mut self, job: Job<M>) {
        self.given += 1;
        let jobs = self.jobs.as_ref().expect("a helper takes jobs until it is dropped");
        assert!(jobs.send(job).is_ok(), "a blocking job panicked");
    }
}

impl<M> Drop for Helper<M> {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic of a job was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}
