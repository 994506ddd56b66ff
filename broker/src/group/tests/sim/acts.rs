//! What members, producers, strangers and administrators do.

use ringlog_wire::ErrorCode;
use ringlog_wire::api::heartbeat::HeartbeatRequest;
use ringlog_wire::api::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_wire::api::offset_commit::OffsetCommitRequest;
use ringlog_wire::api::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ringlog_wire::api::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use ringlog_wire::api::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

use super::member::{PARTITIONS, Phase};
use super::world::{Open, Wait, World};
use crate::group::tests::commits;
use crate::group::{Client, Event};

impl World {
    pub(super) fn member_acts(&mut self) {
        let who = self.random.index(self.members.len());
        if self.members[who].stalls_until_ms > self.now_ms {
            return;
        }
        match self.members[who].phase.clone() {
            Phase::Out => {
                let to = self.ticket(Wait::Member(who));
                let member = &mut self.members[who];
                member.phase = Phase::Waits;
                let id = format!("c{}", member.number);
                let client = Client { id, host: "/127.0.0.1".to_owned() };
                let (version, request) = (member.version, member.join());
                self.step(Event::Join { to, client, version, request });
            }
            Phase::Joined(assignments) => {
                let to = self.ticket(Wait::Member(who));
                self.members[who].phase = Phase::Waits;
                let request = self.members[who].sync(assignments);
                self.step(Event::Sync { to, request });
            }
            Phase::In => self.owner_acts(who),
            Phase::Waits | Phase::Fenced => {}
        }
    }

    pub(super) fn owner_acts(&mut self, who: usize) {
        let member = self.members[who].clone();
        let group_id = member.group.clone();
        match self.random.below(20) {
            0..9 => {
                let to = self.ticket(Wait::Heartbeat(who, member.generation));
                let request = HeartbeatRequest {
                    group_id,
                    generation_id: member.generation,
                    member_id: member.id,
                    group_instance_id: member.instance_id,
                };
                self.step(Event::Heartbeat { to, request });
            }
            9..16 if !member.partitions.is_empty() => {
                let at = self.random.pick(&member.partitions);
                self.offset += 1;
                let to = self.ticket(Wait::Commit((group_id.clone(), at), self.offset, false));
                let request = OffsetCommitRequest {
                    group_id,
                    generation_id_or_member_epoch: member.generation,
                    member_id: member.id,
                    group_instance_id: member.instance_id,
                    ..commits("a", &[(at, self.offset)])
                };
                self.step(Event::Commit { to, version: 8, request });
            }
            16 => {
                let ms = self.random.range(1_000..80_000) as i64;
                self.members[who].stalls_until_ms = self.now_ms + ms;
            }
            17 if member.instance_id.is_none() => {
                let to = self.ticket(Wait::Other);
                let leaves = MemberIdentity { member_id: member.id, ..Default::default() };
                let request =
                    LeaveGroupRequest { group_id, members: vec![leaves], ..Default::default() };
                self.step(Event::Leave { to, version: 3, request });
                self.members[who].failed(ErrorCode::UnknownMemberId);
            }
            18 => self.members[who].phase = Phase::Out,
            _ => {}
        }
    }

    /// A member forgets everything and begins anew; what it waited for goes unheard.
    pub(super) fn member_dies(&mut self) {
        let who = self.random.index(self.members.len());
        for wait in self.waits.values_mut() {
            if matches!(wait, Wait::Member(waits) if *waits == who) {
                *wait = Wait::Other;
            }
        }
        let member = &mut self.members[who];
        member.failed(ErrorCode::UnknownMemberId);
        member.generation = -1;
    }

    pub(super) fn fetch(&mut self) {
        let group_id = self.random.pick(&["g", "h", "simple"]).to_owned();
        let to = self.ticket(Wait::Fetch(group_id.clone()));
        let partition_indexes = (0..PARTITIONS).collect();
        let topic = OffsetFetchRequestTopics {
            name: "a".to_owned(),
            partition_indexes,
            ..Default::default()
        };
        let topics = self.random.chance(1, 2).then(|| vec![topic]);
        let group = OffsetFetchRequestGroup { group_id, topics, ..Default::default() };
        let require_stable = self.random.chance(1, 2);
        self.step(Event::Fetch { to, version: 8, require_stable, group });
    }

    pub(super) fn commit_of_nobody(&mut self) {
        let group_id = self.random.pick(&["g", "h", "simple", "simple"]).to_owned();
        let at = self.random.below(PARTITIONS as u64) as i32;
        self.offset += 1;
        let to = self.ticket(Wait::Commit((group_id.clone(), at), self.offset, false));
        let request = OffsetCommitRequest { group_id, ..commits("a", &[(at, self.offset)]) };
        self.step(Event::Commit { to, version: 8, request });
    }

    pub(super) fn transaction(&mut self) {
        let group_id = self.random.pick(&["g", "h", "simple"]).to_owned();
        let at = self.random.below(PARTITIONS as u64) as i32;
        let producer_id = self.random.below(4) as i64;
        self.offset += 1;
        let place = (group_id.clone(), at);
        let to = self.ticket(Wait::Commit(place.clone(), self.offset, true));
        let partition = TxnOffsetCommitRequestPartition {
            partition_index: at,
            committed_offset: self.offset,
            ..Default::default()
        };
        let topic = TxnOffsetCommitRequestTopic {
            name: "a".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        };
        let topics = vec![topic];
        let request =
            TxnOffsetCommitRequest { group_id, producer_id, topics, ..Default::default() };
        let offset = self.offset;
        self.step(Event::TxnCommit { to, version: 3, request });
        self.open.push(Open { producer_id, place, offset, at: self.log.len() });
    }

    /// A marker is written; it is told once it is durable, as everything before it.
    pub(super) fn end_transaction(&mut self) -> Result<(), String> {
        let (producer_id, committed) = (self.random.below(4) as i64, self.random.chance(2, 3));
        self.step(Event::EndTransaction { producer_id, producer_epoch: 0, committed });
        let ended = self.open.extract_if(.., |open| open.producer_id == producer_id);
        let ended: Vec<Open> = ended.collect();
        while !self.flight.is_empty() {
            self.settle()?;
        }
        for open in ended.into_iter().filter(|_| committed) {
            self.figures.transactions += 1;
            self.model.acked(open.at, &open.place, open.offset);
        }
        Ok(())
    }

    /// Somebody with wrong ideas of the group.
    pub(super) fn stranger(&mut self) {
        let who = self.random.index(self.members.len());
        let member = self.members[who].clone();
        let id = self.random.pick(&[member.id.as_str(), "", "who"]).to_owned();
        let generation = member.generation + self.random.below(3) as i32 - 1;
        let instance = self.random.chance(1, 4).then(|| "i0".to_owned());
        let group_id = member.group.clone();
        let to = self.ticket(Wait::Other);
        match self.random.below(3) {
            0 => {
                let at = self.random.below(PARTITIONS as u64) as i32;
                self.offset += 1;
                let request = OffsetCommitRequest {
                    group_id,
                    generation_id_or_member_epoch: generation,
                    member_id: id,
                    group_instance_id: instance,
                    ..commits("a", &[(at, self.offset)])
                };
                self.step(Event::Commit { to, version: 9, request });
            }
            1 => {
                let mut request = member.sync(Vec::new());
                (request.member_id, request.group_instance_id) = ("who".to_owned(), instance);
                self.step(Event::Sync { to, request });
            }
            _ => {
                let leaves = MemberIdentity {
                    member_id: id,
                    group_instance_id: instance,
                    ..Default::default()
                };
                let members = vec![leaves];
                let request = LeaveGroupRequest { group_id, members, ..Default::default() };
                self.step(Event::Leave { to, version: 3, request });
            }
        }
    }

    pub(super) fn admin(&mut self) {
        let group_id = self.random.pick(&["g", "h", "simple", "simple"]).to_owned();
        let to = self.ticket(Wait::Other);
        if self.random.chance(1, 2) {
            return self.step(Event::Delete { to, group_id });
        }
        let at = self.random.below(PARTITIONS as u64) as i32;
        let partitions = vec![OffsetDeleteRequestPartition { partition_index: at }];
        let topics = vec![OffsetDeleteRequestTopic { name: "a".to_owned(), partitions }];
        let request = OffsetDeleteRequest { group_id, topics };
        self.step(Event::DeleteOffsets { to, request });
    }
}
