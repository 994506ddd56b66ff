//! Fetch requests, borrowed from the frame.

use super::API;
use crate::api::elements::{Element, Elements};
use crate::codec::{Reader, Result};
use crate::uuid::Uuid;

/// A Fetch request, v4–18. What a version lacks has the schema's default.
#[derive(Clone, Debug)]
pub struct RequestView<'a> {
    version: i16,
    cluster_id: Option<&'a str>,
    replica_id: i32,
    replica_epoch: i64,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    isolation_level: i8,
    session_id: i32,
    session_epoch: i32,
    topics: TopicIter<'a>,
    forgotten: ForgottenIter<'a>,
    rack_id: &'a str,
}

/// Goes through a request's topics.
pub type TopicIter<'a> = Elements<'a, TopicView<'a>>;
/// Goes through a topic's partitions.
pub type PartitionIter<'a> = Elements<'a, PartitionView>;
/// Goes through the topics that the session forgets.
pub type ForgottenIter<'a> = Elements<'a, ForgottenView<'a>>;
/// Goes through a forgotten topic's partition numbers.
pub type IndexIter<'a> = Elements<'a, i32>;

impl<'a> RequestView<'a> {
    /// Walks and checks the whole body. Allocates nothing.
    pub fn parse(version: i16, body: &'a [u8]) -> Result<RequestView<'a>> {
        assert!(API.serves(version), "the session refuses other versions");
        let flexible = API.is_flexible(version);
        let mut input = Reader::new(body);
        let replica_id = if version <= 14 { input.i32()? } else { -1 };
        let (max_wait_ms, min_bytes, max_bytes) = (input.i32()?, input.i32()?, input.i32()?);
        let isolation_level = input.i8()?;
        let (session_id, session_epoch) =
            if version >= 7 { (input.i32()?, input.i32()?) } else { (0, -1) };
        let topics = Elements::parse(version, flexible, &mut input)?;
        let forgotten = match version {
            7.. => Elements::parse(version, flexible, &mut input)?,
            _ => Elements::begin(version, 0, &input),
        };
        let rack_id = if version >= 11 { input.string(flexible)? } else { "" };
        let mut view = RequestView {
            version,
            cluster_id: None,
            replica_id,
            replica_epoch: -1,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics,
            forgotten,
            rack_id,
        };
        if flexible {
            view.tags(&mut input)?;
        }
        Ok(view)
    }

    fn tags(&mut self, input: &mut Reader<'a>) -> Result<()> {
        input.tags(|tag, field| match tag {
            0 => {
                self.cluster_id = field.string_or_null(true)?;
                Ok(true)
            }
            1 if self.version >= 15 => {
                (self.replica_id, self.replica_epoch) = (field.i32()?, field.i64()?);
                field.skip_tags()?;
                Ok(true)
            }
            _ => Ok(false),
        })
    }

    /// The request's version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The cluster's id, if told.
    pub fn cluster_id(&self) -> Option<&'a str> {
        self.cluster_id
    }

    /// The follower, or -1 for consumers, in whichever place the version has it.
    pub fn replica_id(&self) -> i32 {
        self.replica_id
    }

    /// The follower's broker epoch, or -1.
    pub fn replica_epoch(&self) -> i64 {
        self.replica_epoch
    }

    /// How long the answer may take.
    pub fn max_wait_ms(&self) -> i32 {
        self.max_wait_ms
    }

    /// How many bytes are worth an answer.
    pub fn min_bytes(&self) -> i32 {
        self.min_bytes
    }

    /// How many bytes the answer may have.
    pub fn max_bytes(&self) -> i32 {
        self.max_bytes
    }

    /// 0 read uncommitted, 1 read committed.
    pub fn isolation_level(&self) -> i8 {
        self.isolation_level
    }

    /// The session, or 0.
    pub fn session_id(&self) -> i32 {
        self.session_id
    }

    /// The session's epoch; 0 begins one, -1 is none.
    pub fn session_epoch(&self) -> i32 {
        self.session_epoch
    }

    /// The topics, in the request's order.
    pub fn topics(&self) -> TopicIter<'a> {
        self.topics.clone()
    }

    /// What the session forgets.
    pub fn forgotten_topics(&self) -> ForgottenIter<'a> {
        self.forgotten.clone()
    }

    /// Where the consumer stands, or nothing.
    pub fn rack_id(&self) -> &'a str {
        self.rack_id
    }
}

/// A topic by name up to v12, by id from v13 on.
#[inline]
fn name_or_id<'a>(version: i16, input: &mut Reader<'a>) -> Result<(&'a str, Uuid)> {
    match version {
        13.. => Ok(("", input.uuid()?)),
        _ => Ok((input.string(API.is_flexible(version))?, Uuid::ZERO)),
    }
}

/// A topic of a Fetch request.
#[derive(Clone, Debug)]
pub struct TopicView<'a> {
    /// Its name; empty from v13 on.
    pub name: &'a str,
    /// Its id; zero up to v12.
    pub topic_id: Uuid,
    partitions: PartitionIter<'a>,
}

impl<'a> TopicView<'a> {
    /// The partitions, in the request's order.
    pub fn partitions(&self) -> PartitionIter<'a> {
        self.partitions.clone()
    }
}

impl<'a> Element<'a> for TopicView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<TopicView<'a>> {
        let (name, topic_id) = name_or_id(version, input)?;
        let count = input.count(API.is_flexible(version))?;
        Ok(TopicView { name, topic_id, partitions: Elements::begin(version, count, input) })
    }

    #[inline]
    fn skip_tail(&self, version: i16, input: &mut Reader<'a>) -> Result<()> {
        PartitionIter::skip(version, self.partitions.len(), input)?;
        if API.is_flexible(version) {
            input.skip_tags()?;
        }
        Ok(())
    }
}

/// A partition of a Fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Its number.
    pub index: i32,
    /// The leader's epoch as the reader knows it, or -1.
    pub current_leader_epoch: i32,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// The epoch of the last record read, or -1.
    pub last_fetched_epoch: i32,
    /// The follower's first offset, or -1.
    pub log_start_offset: i64,
    /// How many bytes of it.
    pub max_bytes: i32,
    /// The follower's directory, or zero.
    pub replica_directory_id: Uuid,
    /// The high watermark that the follower knows, or the largest number.
    pub high_watermark: i64,
}

impl<'a> Element<'a> for PartitionView {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<PartitionView> {
        let mut partition = PartitionView {
            index: input.i32()?,
            current_leader_epoch: if version >= 9 { input.i32()? } else { -1 },
            fetch_offset: input.i64()?,
            last_fetched_epoch: if version >= 12 { input.i32()? } else { -1 },
            log_start_offset: if version >= 5 { input.i64()? } else { -1 },
            max_bytes: input.i32()?,
            replica_directory_id: Uuid::ZERO,
            high_watermark: i64::MAX,
        };
        if API.is_flexible(version) {
            input.tags(|tag, field| match tag {
                0 if version >= 17 => {
                    partition.replica_directory_id = field.uuid()?;
                    Ok(true)
                }
                1 if version >= 18 => {
                    partition.high_watermark = field.i64()?;
                    Ok(true)
                }
                _ => Ok(false),
            })?;
        }
        Ok(partition)
    }
}

/// A topic that the session forgets.
#[derive(Clone, Debug)]
pub struct ForgottenView<'a> {
    /// Its name; empty from v13 on.
    pub name: &'a str,
    /// Its id; zero up to v12.
    pub topic_id: Uuid,
    partitions: IndexIter<'a>,
}

impl<'a> ForgottenView<'a> {
    /// The partitions' numbers.
    pub fn partitions(&self) -> IndexIter<'a> {
        self.partitions.clone()
    }
}

impl<'a> Element<'a> for ForgottenView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<ForgottenView<'a>> {
        let (name, topic_id) = name_or_id(version, input)?;
        let count = input.count(API.is_flexible(version))?;
        Ok(ForgottenView { name, topic_id, partitions: Elements::begin(version, count, input) })
    }

    #[inline]
    fn skip_tail(&self, version: i16, input: &mut Reader<'a>) -> Result<()> {
        IndexIter::skip(version, self.partitions.len(), input)?;
        if API.is_flexible(version) {
            input.skip_tags()?;
        }
        Ok(())
    }
}
