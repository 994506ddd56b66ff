//! A log may say anything that is a record: who calls itself an administrator may write to it. What
//! comes of it may be of no use to anybody, but nothing breaks.

use ringlog_wire::records::group::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataKey, ConsumerGroupMetadataValue,
    ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue,
    GroupMetadataKey, MemberMetadata, OffsetCommitKey, OffsetCommitValue, TopicPartition,
    TopicPartitions,
};

use super::consumers::{alive, first};
use super::*;

const SEEDS: u64 = 400;
const RECORDS: usize = 60;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn of<T: Clone>(&mut self, those: &[T]) -> T {
        those[self.next() as usize % those.len()].clone()
    }

    fn text(&mut self) -> String {
        self.of(&["", "a", "b", "t", "range", "uniform", "consumer", "t.*", "("]).to_owned()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Random) -> T) -> Option<T> {
        (!self.next().is_multiple_of(3)).then(|| make(self))
    }

    fn some<T>(&mut self, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.next() % 3).map(|_| make(self)).collect()
    }

    fn number(&mut self) -> i32 {
        self.of(&[i32::MIN, -2, -1, 0, 1, 2, 5, i32::MAX - 1, i32::MAX])
    }

    fn time(&mut self) -> i64 {
        self.of(&[i64::MIN, -1, 0, 1, 1_000_000, i64::MAX])
    }

    fn topic(&mut self) -> Uuid {
        let known = Topics::new().0;
        self.of(&[Uuid::ZERO, uuid(77), known.values().next().expect("a topic").0])
    }

    fn partitions(&mut self) -> Vec<TopicPartitions> {
        self.some(|random| TopicPartitions {
            topic_id: random.topic(),
            partitions: random.some(Random::number),
            assignment_epochs: random.maybe(|random| random.some(Random::number)),
        })
    }

    fn entry(&mut self) -> Entry {
        if self.next().is_multiple_of(12) {
            return Entry::Marker((self.next() % 3) as i64, self.next().is_multiple_of(2));
        }
        let producer = self.next().is_multiple_of(6).then(|| ((self.next() % 3) as i64, 0));
        let group = self.of(&["g", "g", "h", ""]).to_owned();
        let record = match self.next() % 9 {
            0 => self.commit(group),
            1 => self.classic(group),
            _ => self.consumer(group),
        };
        Entry::record(record, producer)
    }

    fn commit(&mut self, group: String) -> GroupRecord {
        let key = OffsetCommitKey { group, topic: self.text(), partition: self.number() };
        let value = self.maybe(|random| OffsetCommitValue {
            offset: random.time(),
            leader_epoch: random.number(),
            metadata: random.text(),
            commit_timestamp: random.time(),
            expire_timestamp: random.time(),
            topic_id: random.topic(),
        });
        GroupRecord::OffsetCommit { key, value }
    }

    fn classic(&mut self, group: String) -> GroupRecord {
        let value = self.maybe(|random| GroupMetadataValue {
            protocol_type: random.text(),
            generation: random.number(),
            protocol: random.maybe(Random::text),
            leader: random.maybe(Random::text),
            current_state_timestamp: random.time(),
            members: random.some(|random| MemberMetadata {
                member_id: random.text(),
                group_instance_id: random.maybe(Random::text),
                client_id: random.text(),
                client_host: random.text(),
                rebalance_timeout: random.number(),
                session_timeout: random.number(),
                subscription: random.text().into_bytes(),
                assignment: random.text().into_bytes(),
            }),
        });
        GroupRecord::GroupMetadata { key: GroupMetadataKey { group }, value }
    }

    fn consumer(&mut self, group_id: String) -> GroupRecord {
        let member_id = self.of(&["", "a", "b", "c"]).to_owned();
        match self.next() % 6 {
            0 => GroupRecord::ConsumerGroupMetadata {
                key: ConsumerGroupMetadataKey { group_id },
                value: self.maybe(|random| ConsumerGroupMetadataValue {
                    epoch: random.number(),
                    metadata_hash: random.time(),
                }),
            },
            1 => GroupRecord::ConsumerGroupMemberMetadata {
                key: ConsumerGroupMemberMetadataKey { group_id, member_id },
                value: self.maybe(Random::member),
            },
            2 => GroupRecord::ConsumerGroupTargetAssignmentMetadata {
                key: ConsumerGroupTargetAssignmentMetadataKey { group_id },
                value: self.maybe(|random| ConsumerGroupTargetAssignmentMetadataValue {
                    assignment_epoch: random.number(),
                    assignment_timestamp: random.time(),
                }),
            },
            3 => GroupRecord::ConsumerGroupTargetAssignmentMember {
                key: ConsumerGroupTargetAssignmentMemberKey { group_id, member_id },
                value: self.maybe(|random| ConsumerGroupTargetAssignmentMemberValue {
                    topic_partitions: random.some(|random| TopicPartition {
                        topic_id: random.topic(),
                        partitions: random.some(Random::number),
                    }),
                }),
            },
            4 => GroupRecord::ConsumerGroupCurrentMemberAssignment {
                key: ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id },
                value: self.maybe(|random| ConsumerGroupCurrentMemberAssignmentValue {
                    member_epoch: random.number(),
                    previous_member_epoch: random.number(),
                    state: random.of(&[-1, 0, 1, 2, 3]),
                    assigned_partitions: random.partitions(),
                    partitions_pending_revocation: random.partitions(),
                }),
            },
            _ => GroupRecord::ConsumerGroupRegularExpression {
                key: ConsumerGroupRegularExpressionKey {
                    group_id,
                    regular_expression: self.text(),
                },
                value: self.maybe(|random| ConsumerGroupRegularExpressionValue {
                    topics: random.some(Random::text),
                    version: random.time(),
                    timestamp: random.time(),
                }),
            },
        }
    }

    fn member(&mut self) -> ConsumerGroupMemberMetadataValue {
        ConsumerGroupMemberMetadataValue {
            instance_id: self.maybe(Random::text),
            rack_id: self.maybe(Random::text),
            client_id: self.text(),
            client_host: self.text(),
            subscribed_topic_names: self.some(Random::text),
            subscribed_topic_regex: self.maybe(Random::text),
            rebalance_timeout_ms: self.number(),
            server_assignor: self.maybe(Random::text),
            classic_member_metadata: self.maybe(|random| ClassicMemberMetadata {
                session_timeout_ms: random.number(),
                supported_protocols: random.some(|random| ClassicProtocol {
                    name: random.text(),
                    metadata: random.text().into_bytes(),
                }),
            }),
        }
    }
}

#[test]
fn whatever_a_log_says_nothing_breaks() {
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let mut bench = Bench::of_consumers();
        bench.log = (0..RECORDS).map(|_| random.entry()).collect();
        bench.restart();
        // Who was there says something, somebody comes, and time goes by.
        for member in ["a", "b", "c"] {
            let epoch = random.of(&[-2, -1, 1, i32::MAX]);
            bench.beat(&alive(member, epoch));
        }
        bench.beat(&first("d", &["a", "b"]));
        bench.join(asks("").version(3));
        bench.pass(1_000);
        bench.beat(&first("e", &["a"]));
        let to = bench.ticket();
        bench.step(Event::ConsumerDescribe { to, group_id: "g".to_owned() });
        let to = bench.ticket();
        bench.step(Event::Describe { to, version: 6, group_id: "g".to_owned() });
        bench.pass(700_000);
        for group in ["g", "h", ""] {
            let to = bench.ticket();
            bench.step(Event::Delete { to, group_id: group.to_owned() });
        }
        bench.restart();
    }
}
