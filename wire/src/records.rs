//! The records of Kafka's own topics. Here those of the metadata log, `__cluster_metadata`;
//! [`group`] and [`txn`] have the coordinators'.
//!
//! ```text
//! data record:     key null
//!                  value | uvarint frame version = 1 | uvarint type | uvarint version | message |
//! control record:  key   | i16 version = 0 | i16 type |
//!                  value | message, whose first i16 is its version |
//! ```
//!
//! Invariants: nothing follows the message in a data record's value. A type or version that this
//! build does not know is [`DecodeError::Unknown`], never a guess. A record is written only in a
//! version that [`MetadataRecord::fits`]: one that would lose a field is our bug.

mod broker;
pub mod control;
pub mod coordinator;
pub mod group;
mod security;
mod topic;
pub mod txn;

pub use broker::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ControllerEndpoint,
    ControllerFeature, FenceBrokerRecord, RegisterBrokerRecord, RegisterControllerRecord,
    UnfenceBrokerRecord, UnregisterBrokerRecord, UnregisterControllerRecord,
};
pub use control::{ControlKey, ControlRecord};
pub use group::GroupRecord;
pub use security::{
    AccessControlEntryRecord, ClientQuotaRecord, DelegationTokenRecord, EntityData,
    RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord, RemoveUserScramCredentialRecord,
    UserScramCredentialRecord,
};
pub use topic::{
    AbortTransactionRecord, BeginTransactionRecord, ClearElrRecord, ConfigRecord,
    EndTransactionRecord, FeatureLevelRecord, LEADER_KEEP, NoOpRecord, PartitionChangeRecord,
    PartitionRecord, ProducerIdsRecord, RemoveTopicRecord, TopicRecord, ZkMigrationStateRecord,
};
pub use txn::TransactionRecord;

use crate::codec::{DecodeError, Reader, Result, Writer};
use crate::message::Message;

/// The only framing of metadata records there is.
const FRAME_VERSION: u32 = 1;

macro_rules! metadata_records {
    ($($(#[$doc:meta])* $key:literal $variant:ident($record:ident) 0-$max:literal;)*) => {
        /// One record of the metadata log.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord {$(
            $(#[$doc])*
            $variant($record),
        )*}

        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> MetadataRecord {
                MetadataRecord::$variant(record)
            }
        })*

        impl MetadataRecord {
            /// Every type: its number, its name, its last version.
            pub const TYPES: &[(u32, &str, i16)] = &[$(($key, stringify!($record), $max)),*];

            /// The number of the record's type.
            pub const fn key(&self) -> u32 {
                match self {$(MetadataRecord::$variant(_) => $key,)*}
            }

            /// The last version of the record's type.
            pub const fn version_max(&self) -> i16 {
                match self {$(MetadataRecord::$variant(_) => $max,)*}
            }

            /// False when the version would lose something.
            pub fn fits(&self, version: i16) -> bool {
                match self {$(
                    MetadataRecord::$variant(record) => version <= $max && record.fits(version),
                )*}
            }

            fn write(&self, version: i16, out: &mut Vec<u8>) {
                match self {$(MetadataRecord::$variant(record) => record.encode(version, out),)*}
            }

            fn read(key: u32, version: i16, input: &mut Reader<'_>) -> Result<MetadataRecord> {
                match (key, version) {
                    $(($key, 0..=$max) => {
                        Ok(MetadataRecord::$variant(Message::read_from(version, input)?))
                    })*
                    _ => Err(DecodeError::Unknown { key, version }),
                }
            }
        }
    };
}

metadata_records! {
    /// A broker is there.
    0 RegisterBroker(RegisterBrokerRecord) 0-4;
    /// A broker is gone for good.
    1 UnregisterBroker(UnregisterBrokerRecord) 0-0;
    /// A topic is there.
    2 Topic(TopicRecord) 0-0;
    /// A partition is there.
    3 Partition(PartitionRecord) 0-2;
    /// A setting.
    4 Config(ConfigRecord) 0-0;
    /// A partition has changed.
    5 PartitionChange(PartitionChangeRecord) 0-2;
    /// A broker is fenced (old form).
    7 FenceBroker(FenceBrokerRecord) 0-0;
    /// A broker is no longer fenced (old form).
    8 UnfenceBroker(UnfenceBrokerRecord) 0-0;
    /// A topic is gone.
    9 RemoveTopic(RemoveTopicRecord) 0-0;
    /// A delegation token.
    10 DelegationToken(DelegationTokenRecord) 0-0;
    /// A user's SCRAM credential.
    11 UserScramCredential(UserScramCredentialRecord) 0-0;
    /// A feature's level.
    12 FeatureLevel(FeatureLevelRecord) 0-0;
    /// A quota.
    14 ClientQuota(ClientQuotaRecord) 0-0;
    /// Producer ids are given out up to here.
    15 ProducerIds(ProducerIdsRecord) 0-0;
    /// A broker's registration has changed.
    17 BrokerRegistrationChange(BrokerRegistrationChangeRecord) 0-3;
    /// An access control entry.
    18 AccessControlEntry(AccessControlEntryRecord) 0-0;
    /// An access control entry is gone.
    19 RemoveAccessControlEntry(RemoveAccessControlEntryRecord) 0-0;
    /// Nothing; the leader is alive.
    20 NoOp(NoOpRecord) 0-0;
    /// A leftover of ZooKeeper.
    21 ZkMigrationState(ZkMigrationStateRecord) 0-0;
    /// A user's SCRAM credential is gone.
    22 RemoveUserScramCredential(RemoveUserScramCredentialRecord) 0-0;
    /// What follows is published as one.
    23 BeginTransaction(BeginTransactionRecord) 0-0;
    /// What came since the begin is published.
    24 EndTransaction(EndTransactionRecord) 0-0;
    /// What came since the begin is dropped.
    25 AbortTransaction(AbortTransactionRecord) 0-0;
    /// A delegation token is gone.
    26 RemoveDelegationToken(RemoveDelegationTokenRecord) 0-0;
    /// A controller is there.
    27 RegisterController(RegisterControllerRecord) 0-0;
    /// Eligible leader replicas are forgotten.
    28 ClearElr(ClearElrRecord) 0-0;
    /// A controller is gone.
    29 UnregisterController(UnregisterControllerRecord) 0-0;
}

impl MetadataRecord {
    /// Appends a record's value.
    pub fn encode_value(&self, version: i16, out: &mut Vec<u8>) {
        assert!(version >= 0, "versions count from 0");
        assert!(self.fits(version), "record type {} v{version} would lose a field", self.key());
        out.put_uvarint(FRAME_VERSION);
        out.put_uvarint(self.key());
        out.put_uvarint(version as u32);
        self.write(version, out);
    }

    /// Reads a record's value, and the version it was written in.
    pub fn decode_value(value: &[u8]) -> Result<(MetadataRecord, i16)> {
        let mut input = Reader::new(value);
        let frame_version = input.uvarint()?;
        let (key, version) = (input.uvarint()?, input.uvarint()?);
        let version = i16::try_from(version).unwrap_or(i16::MAX);
        if frame_version != FRAME_VERSION {
            return Err(DecodeError::Unknown { key, version });
        }
        let record = MetadataRecord::read(key, version, &mut input)?;
        input.finish()?;
        Ok((record, version))
    }

    /// The lowest version that loses nothing: how registration changes are written.
    pub fn version_lowest(&self) -> i16 {
        (0..=self.version_max()).find(|&version| self.fits(version)).unwrap_or(self.version_max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_nodes_feature_record_is_kafkas_bytes() {
        let record = MetadataRecord::from(FeatureLevelRecord {
            name: "metadata.version".to_owned(),
            feature_level: 27,
        });
        let mut value = Vec::new();
        record.encode_value(0, &mut value);
        assert_eq!(value, b"\x01\x0c\x00\x11metadata.version\x00\x1b\x00");
        assert_eq!(MetadataRecord::decode_value(&value), Ok((record, 0)));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let unknown = |key, version| Err(DecodeError::Unknown { key, version });
        assert_eq!(MetadataRecord::decode_value(&[1, 6, 0, 0]), unknown(6, 0));
        assert_eq!(MetadataRecord::decode_value(&[1, 20, 1, 0]), unknown(20, 1));
        assert_eq!(MetadataRecord::decode_value(&[2, 20, 0, 0]), unknown(20, 0));
        let huge = [1, 20, 0xff, 0xff, 0x7f, 0];
        assert_eq!(MetadataRecord::decode_value(&huge), unknown(20, i16::MAX));
        assert_eq!(MetadataRecord::decode_value(&[1, 20, 0, 0, 0]), Err(DecodeError::Trailing(1)));
    }

    #[test]
    fn registration_changes_are_written_as_low_as_they_fit() {
        let check = |record: BrokerRegistrationChangeRecord, version: i16| {
            assert_eq!(MetadataRecord::from(record).version_lowest(), version);
        };
        let fence = BrokerRegistrationChangeRecord { fenced: 1, ..Default::default() };
        check(fence.clone(), 0);
        check(BrokerRegistrationChangeRecord { in_controlled_shutdown: 1, ..fence.clone() }, 1);
        check(BrokerRegistrationChangeRecord { log_dirs: vec![Default::default()], ..fence }, 2);
    }

    #[test]
    #[should_panic(expected = "would lose a field")]
    fn a_version_that_loses_a_field_is_our_bug() {
        let eligible = Some(vec![1]);
        let record =
            PartitionRecord { eligible_leader_replicas: eligible, ..PartitionRecord::default() };
        MetadataRecord::from(record).encode_value(1, &mut Vec::new());
    }
}
