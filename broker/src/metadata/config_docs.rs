//! What each setting is for, in a sentence or two: the documentation that DescribeConfigs tells.

use super::topic_config;

/// Topics' settings, ascending by name.
#[rustfmt::skip]
const TOPICS: &[(&str, &str)] = &[
    ("cleanup.policy",
     "What becomes of old records: delete drops them by age and size, compact keeps the last of \
      each key, both do both, none keeps all."),
    ("compression.gzip.level", "Effort for gzip, 1 to 9, or -1 for gzip's own choice."),
    ("compression.lz4.level", "Effort for lz4, 1 to 17."),
    ("compression.type",
     "How batches are compressed on disk; with producer they stay as they were sent."),
    ("compression.zstd.level", "Effort for zstd, -131072 to 22."),
    ("delete.retention.ms",
     "How long a tombstone outlives compaction, so that slow readers still see it; milliseconds."),
    ("file.delete.delay.ms",
     "How long a dropped file stays on disk before it is removed; milliseconds."),
    ("flush.messages",
     "Records between two flushes. Stored and shown; ringlog.durability says when a record is \
      flushed."),
    ("flush.ms",
     "Milliseconds between two flushes. Stored and shown; ringlog.durability says when a record \
      is flushed."),
    ("follower.replication.throttled.replicas",
     "Followers that are held back while they catch up: partition:broker pairs, or * for all."),
    ("index.interval.bytes",
     "Bytes of log for each entry of the index; fewer find offsets faster and cost more memory."),
    ("leader.replication.throttled.replicas",
     "Leaders that hold their followers back: partition:broker pairs, or * for all."),
    ("local.retention.bytes",
     "Bytes kept on local disk when older segments live elsewhere; -2 follows retention.bytes."),
    ("local.retention.ms",
     "Milliseconds kept on local disk when older segments live elsewhere; -2 follows \
      retention.ms."),
    ("max.compaction.lag.ms", "A record is compacted at the latest after this; milliseconds."),
    ("max.message.bytes", "Largest batch that is taken, as it was sent; bytes."),
    ("message.timestamp.after.max.ms",
     "How far a producer's timestamp may lie in the future; milliseconds."),
    ("message.timestamp.before.max.ms",
     "How far a producer's timestamp may lie in the past; milliseconds."),
    ("message.timestamp.type",
     "Whose time a record carries: its producer's (CreateTime) or the broker's (LogAppendTime)."),
    ("min.cleanable.dirty.ratio",
     "Share of a log that must be uncompacted before compaction is worth its work; 0 to 1."),
    ("min.compaction.lag.ms", "A record is left alone by compaction for this long; milliseconds."),
    ("min.insync.replicas",
     "A produce request with acks=all is refused while fewer replicas than this are in sync."),
    ("preallocate", "Take a segment's whole space when it is begun. Stored and shown."),
    ("remote.log.copy.disable", "Stop copying to a second tier. There is none here."),
    ("remote.log.delete.on.disable", "Drop a second tier when it is disabled. There is none here."),
    ("remote.storage.enable", "Keep old segments in a second tier. There is none here."),
    ("retention.bytes",
     "Bytes of a partition above which its oldest segments are dropped; -1 for no limit."),
    ("retention.ms",
     "Age at which a segment is dropped by cleanup.policy delete; milliseconds, -1 for never."),
    ("ringlog.durability",
     "When a record counts as acknowledged: memory, written (survives the process), synced \
      (survives power loss)."),
    ("ringlog.validation",
     "How far a compressed batch is looked into: records (all of them) or header (trust the \
      producer)."),
    ("segment.bytes", "A segment is closed before it grows past this; bytes."),
    ("segment.index.bytes", "Space for a segment's index; bytes."),
    ("segment.jitter.ms",
     "At most this much is taken off segment.ms at random, so that segments do not all close at \
      once; milliseconds. Stored and shown."),
    ("segment.ms", "A segment is closed when its records span more than this; milliseconds."),
    ("unclean.leader.election.enable",
     "Let a replica lead that may lack acknowledged records, when no other is left."),
];

/// Brokers' settings that stand for no topic's, ascending by name.
#[rustfmt::skip]
const BROKERS: &[(&str, &str)] = &[
    ("advertised.listeners", "Where clients are told to connect: --advertised-host and --listen."),
    ("authorizer.class.name", "Who decides what a client may do; none here."),
    ("auto.create.topics.enable", "Create a topic when a client asks for its metadata."),
    ("broker.id", "The older name of node.id."),
    ("broker.rack", "Brokers of one rack share their fate; here, of one process."),
    ("connections.max.idle.ms", "An idle connection is closed after this; milliseconds."),
    ("controlled.shutdown.enable", "Hand partitions over before stopping; always done."),
    ("default.replication.factor", "Replicas of a topic that does not say how many."),
    ("delete.topic.enable", "Let topics be deleted."),
    ("fetch.max.bytes", "Most bytes of one fetch answer, whatever the client asks."),
    ("listener.security.protocol.map", "Each listener's protocol."),
    ("listeners", "Where the broker listens: --listen."),
    ("log.dir", "The older name of log.dirs."),
    ("log.dirs", "Where the data is: --data-dir."),
    ("log.flush.offset.checkpoint.interval.ms",
     "How often recovery points are written; milliseconds."),
    ("max.connections", "Most connections of the whole process."),
    ("max.connections.per.ip", "Most connections from one address."),
    ("max.incremental.fetch.session.cache.slots", "Fetch sessions that are remembered."),
    ("node.id", "This broker's number in the cluster: --node-id."),
    ("num.partitions", "Partitions of a topic that does not say how many."),
    ("offsets.topic.num.partitions", "Partitions of the topic of committed offsets."),
    ("offsets.topic.replication.factor", "Replicas of the topic of committed offsets."),
    ("process.roles", "What the process is: a broker and a controller."),
    ("producer.id.expiration.ms",
     "How long an idle producer's sequence numbers are remembered; milliseconds."),
    ("security.inter.broker.protocol", "How brokers speak to each other."),
    ("socket.request.max.bytes", "Largest request that is read; bytes."),
    ("transaction.partition.verification.enable",
     "Ask a transaction's coordinator before its first records in a partition are taken."),
    ("transaction.state.log.min.isr", "Replicas in sync that the topic of transactions needs."),
    ("transaction.state.log.num.partitions", "Partitions of the topic of transactions."),
    ("transaction.state.log.replication.factor", "Replicas of the topic of transactions."),
];

fn look_up(table: &'static [(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    let at = table.binary_search_by(|(other, _)| (*other).cmp(name)).ok()?;
    table.get(at).map(|(_, text)| *text)
}

/// Of a topic's setting.
pub fn of_topic(name: &str) -> Option<&'static str> {
    look_up(TOPICS, name)
}

/// Of a broker's setting: that of the topic's for which it stands, or its own.
pub fn of_broker(name: &str) -> Option<String> {
    let stands = |setting: &&topic_config::Setting| {
        setting.brokers.iter().any(|(broker, _)| *broker == name)
    };
    let Some(setting) = topic_config::SETTINGS.iter().find(stands) else {
        return look_up(BROKERS, name).map(str::to_string);
    };
    let (unit, text) = match name {
        _ if name.ends_with(".hours") => (" Here in hours.", of_topic(setting.name)?),
        _ if name.ends_with(".minutes") => (" Here in minutes.", of_topic(setting.name)?),
        _ => ("", of_topic(setting.name)?),
    };
    Some(format!("What topics have that do not set {}. {text}{unit}", setting.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::broker_config;

    #[test]
    fn every_setting_is_documented() {
        for table in [TOPICS, BROKERS] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        assert!(
            TOPICS.iter().map(|(name, _)| *name).eq(topic_config::SETTINGS.iter().map(|s| s.name))
        );
        for setting in broker_config::SETTINGS {
            assert!(of_broker(setting.name).is_some(), "{}", setting.name);
        }
        let (documented, brokers) = (BROKERS.iter(), broker_config::SETTINGS);
        for (name, _) in documented {
            assert!(brokers.iter().any(|setting| setting.name == *name), "{name}");
        }
    }
}
