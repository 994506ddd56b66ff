//! Produce requests, borrowed from the frame.

use super::API;
use crate::api::elements::{Element, Elements};
use crate::codec::{Reader, Result};
use crate::uuid::Uuid;

/// A Produce request, v3–13.
#[derive(Clone, Debug)]
pub struct RequestView<'a> {
    version: i16,
    transactional_id: Option<&'a str>,
    acks: i16,
    timeout_ms: i32,
    topics: TopicIter<'a>,
}

/// Goes through a request's topics.
pub type TopicIter<'a> = Elements<'a, TopicView<'a>>;
/// Goes through a topic's partitions.
pub type PartitionIter<'a> = Elements<'a, PartitionView<'a>>;

impl<'a> RequestView<'a> {
    /// Walks and checks the whole body. Allocates nothing.
    pub fn parse(version: i16, body: &'a [u8]) -> Result<RequestView<'a>> {
        assert!(API.serves(version), "the session refuses other versions");
        let flexible = API.is_flexible(version);
        let mut input = Reader::new(body);
        let view = RequestView {
            version,
            transactional_id: input.string_or_null(flexible)?,
            acks: input.i16()?,
            timeout_ms: input.i32()?,
            topics: Elements::parse(version, flexible, &mut input)?,
        };
        if flexible {
            input.skip_tags()?;
        }
        Ok(view)
    }

    /// The request's version.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// The transaction's producer, if any.
    pub fn transactional_id(&self) -> Option<&'a str> {
        self.transactional_id
    }

    /// 0 none, 1 the leader, -1 every replica in sync; anything else is the client's mistake.
    pub fn acks(&self) -> i16 {
        self.acks
    }

    /// How long the answer may take.
    pub fn timeout_ms(&self) -> i32 {
        self.timeout_ms
    }

    /// The topics, in the request's order.
    pub fn topics(&self) -> TopicIter<'a> {
        self.topics.clone()
    }
}

/// A topic of a Produce request.
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
        let flexible = API.is_flexible(version);
        let (name, topic_id) = match version {
            13.. => ("", input.uuid()?),
            _ => (input.string(flexible)?, Uuid::ZERO),
        };
        let count = input.count(flexible)?;
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

/// A partition of a Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView<'a> {
    /// Its number.
    pub index: i32,
    /// The record batch, not looked at yet.
    pub records: Option<&'a [u8]>,
}

impl<'a> Element<'a> for PartitionView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<PartitionView<'a>> {
        let flexible = API.is_flexible(version);
        let partition =
            PartitionView { index: input.i32()?, records: input.bytes_or_null(flexible)? };
        if flexible {
            input.skip_tags()?;
        }
        Ok(partition)
    }
}
