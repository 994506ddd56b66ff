//! What one shard knows of every topic, and where each partition is: the table that requests are
//! placed by.
//!
//! Invariant: a name and an id that are in the table name the same topic; a partition that is
//! [`Place::Open`] has its log in this shard's table of logs under that key.

use std::collections::HashMap;
use std::sync::Arc;

use ringlog_wire::Uuid;

use crate::partition::TopicName;
use crate::slab::Key;

/// Where a partition is, seen from this shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Another shard owns it.
    Remote(usize),
    /// This shard's, and its log is being opened.
    Opening,
    /// This shard's; the log is under this key.
    Open(Key),
    /// This shard's, and its log could not be opened.
    Failed,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its two names.
    pub name: Arc<TopicName>,
    /// Where each partition is, by index.
    pub places: Vec<Place>,
}

impl Topic {
    /// Where partition `index` is; `None` if there is no such partition.
    pub fn place(&self, index: i32) -> Option<Place> {
        self.places.get(usize::try_from(index).ok()?).copied()
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Topics {
    by_id: HashMap<Uuid, Arc<Topic>>,
    by_name: HashMap<Box<str>, Uuid>,
}

impl Topics {
    /// The topic of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// The topic of this id.
    pub fn with_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// The topic of this id, to be changed.
    pub fn with_id_mut(&mut self, id: Uuid) -> Option<&mut Topic> {
        self.by_id.get_mut(&id).map(Arc::make_mut)
    }

    /// Adds a topic without partitions.
    pub fn add(&mut self, name: Arc<TopicName>) -> &mut Topic {
        self.by_name.insert(name.name.clone(), name.id);
        let topic = Topic { name, places: Vec::new() };
        Arc::make_mut(self.by_id.entry(topic.name.id).or_insert(Arc::new(topic)))
    }

    /// Takes a topic out.
    pub fn remove(&mut self, id: Uuid) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(&id)?;
        // The name may already stand for a new topic.
        if self.by_name.get(&topic.name.name) == Some(&id) {
            self.by_name.remove(&topic.name.name);
        }
        Some(topic)
    }

    /// Every topic's id.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.by_id.keys().copied()
    }
}
