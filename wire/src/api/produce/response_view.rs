//! Produce responses as a client reads them, borrowed from the frame. Record errors, leaders and
//! endpoints are passed over: the owned form has them.

use super::API;
use crate::api::elements::{Element, Elements};
use crate::codec::{Reader, Result};
use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// A Produce response, v3–13.
#[derive(Clone, Debug)]
pub struct ResponseView<'a> {
    topics: ResponseTopicIter<'a>,
    throttle_time_ms: i32,
}

/// Goes through a response's topics.
pub type ResponseTopicIter<'a> = Elements<'a, ResponseTopicView<'a>>;
/// Goes through a topic's partitions.
pub type PartitionResultIter<'a> = Elements<'a, PartitionResultView<'a>>;

impl<'a> ResponseView<'a> {
    /// Walks and checks the whole body. Allocates nothing.
    pub fn parse(version: i16, body: &'a [u8]) -> Result<ResponseView<'a>> {
        assert!(API.serves(version), "the client asked in a version that is spoken here");
        let flexible = API.is_flexible(version);
        let mut input = Reader::new(body);
        let topics = Elements::parse(version, flexible, &mut input)?;
        let throttle_time_ms = input.i32()?;
        if flexible {
            input.skip_tags()?;
        }
        Ok(ResponseView { topics, throttle_time_ms })
    }

    /// For how long the client is held back.
    pub fn throttle_time_ms(&self) -> i32 {
        self.throttle_time_ms
    }

    /// The topics, in the response's order.
    pub fn topics(&self) -> ResponseTopicIter<'a> {
        self.topics.clone()
    }
}

/// A topic of a Produce response.
#[derive(Clone, Debug)]
pub struct ResponseTopicView<'a> {
    /// Its name; empty from v13 on.
    pub name: &'a str,
    /// Its id; zero up to v12.
    pub topic_id: Uuid,
    partitions: PartitionResultIter<'a>,
}

impl<'a> ResponseTopicView<'a> {
    /// The partitions, in the response's order.
    pub fn partitions(&self) -> PartitionResultIter<'a> {
        self.partitions.clone()
    }
}

impl<'a> Element<'a> for ResponseTopicView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<ResponseTopicView<'a>> {
        let flexible = API.is_flexible(version);
        let (name, topic_id) = match version {
            13.. => ("", input.uuid()?),
            _ => (input.string(flexible)?, Uuid::ZERO),
        };
        let count = input.count(flexible)?;
        Ok(ResponseTopicView { name, topic_id, partitions: Elements::begin(version, count, input) })
    }

    #[inline]
    fn skip_tail(&self, version: i16, input: &mut Reader<'a>) -> Result<()> {
        PartitionResultIter::skip(version, self.partitions.len(), input)?;
        if API.is_flexible(version) {
            input.skip_tags()?;
        }
        Ok(())
    }
}

/// A partition of a Produce response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionResultView<'a> {
    /// Its number.
    pub index: i32,
    /// Its error.
    pub error_code: ErrorCode,
    /// The first record's offset, or -1.
    pub base_offset: i64,
    /// The broker's timestamp, or -1.
    pub log_append_time_ms: i64,
    /// The log's first offset, or -1.
    pub log_start_offset: i64,
    /// The error in words.
    pub error_message: Option<&'a str>,
}

impl<'a> Element<'a> for PartitionResultView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<PartitionResultView<'a>> {
        let flexible = API.is_flexible(version);
        let mut result = PartitionResultView {
            index: input.i32()?,
            error_code: ErrorCode::from_code(input.i16()?),
            base_offset: input.i64()?,
            log_append_time_ms: input.i64()?,
            log_start_offset: -1,
            error_message: None,
        };
        if version >= 5 {
            result.log_start_offset = input.i64()?;
        }
        if version >= 8 {
            skip_record_errors(flexible, input)?;
            result.error_message = input.string_or_null(flexible)?;
        }
        if flexible {
            input.skip_tags()?;
        }
        Ok(result)
    }
}

#[inline]
fn skip_record_errors(flexible: bool, input: &mut Reader<'_>) -> Result<()> {
    for _ in 0..input.count(flexible)? {
        input.i32()?;
        input.string_or_null(flexible)?;
        if flexible {
            input.skip_tags()?;
        }
    }
    Ok(())
}
