//! Fetch responses as a client reads them, borrowed from the frame. Endpoints are passed over: the
//! owned form has them.

use super::API;
use crate::api::elements::{Element, Elements};
use crate::codec::{Reader, Result};
use crate::error::ErrorCode;
use crate::uuid::Uuid;

/// A Fetch response, v4–18.
#[derive(Clone, Debug)]
pub struct ResponseView<'a> {
    throttle_time_ms: i32,
    error_code: ErrorCode,
    session_id: i32,
    topics: ResponseTopicIter<'a>,
}

/// Goes through a response's topics.
pub type ResponseTopicIter<'a> = Elements<'a, ResponseTopicView<'a>>;
/// Goes through a topic's partitions.
pub type PartitionDataIter<'a> = Elements<'a, PartitionDataView<'a>>;

impl<'a> ResponseView<'a> {
    /// Walks and checks the whole body, though not the record batches. Allocates nothing.
    pub fn parse(version: i16, body: &'a [u8]) -> Result<ResponseView<'a>> {
        assert!(API.serves(version), "the client asked in a version that is spoken here");
        let flexible = API.is_flexible(version);
        let mut input = Reader::new(body);
        let throttle_time_ms = input.i32()?;
        let (code, session_id) = if version >= 7 { (input.i16()?, input.i32()?) } else { (0, 0) };
        let topics = Elements::parse(version, flexible, &mut input)?;
        if flexible {
            input.skip_tags()?;
        }
        let error_code = ErrorCode::from_code(code);
        Ok(ResponseView { throttle_time_ms, error_code, session_id, topics })
    }

    /// For how long the client is held back.
    pub fn throttle_time_ms(&self) -> i32 {
        self.throttle_time_ms
    }

    /// The whole answer's error.
    pub fn error_code(&self) -> ErrorCode {
        self.error_code
    }

    /// The session, or 0.
    pub fn session_id(&self) -> i32 {
        self.session_id
    }

    /// The topics, in the response's order.
    pub fn topics(&self) -> ResponseTopicIter<'a> {
        self.topics.clone()
    }
}

/// A topic of a Fetch response.
#[derive(Clone, Debug)]
pub struct ResponseTopicView<'a> {
    /// Its name; empty from v13 on.
    pub name: &'a str,
    /// Its id; zero up to v12.
    pub topic_id: Uuid,
    partitions: PartitionDataIter<'a>,
}

impl<'a> ResponseTopicView<'a> {
    /// The partitions, in the response's order.
    pub fn partitions(&self) -> PartitionDataIter<'a> {
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
        PartitionDataIter::skip(version, self.partitions.len(), input)?;
        if API.is_flexible(version) {
            input.skip_tags()?;
        }
        Ok(())
    }
}

/// A partition of a Fetch response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionDataView<'a> {
    /// Its number.
    pub index: i32,
    /// Its error.
    pub error_code: ErrorCode,
    /// The high watermark.
    pub high_watermark: i64,
    /// Below it no transaction is open; or -1.
    pub last_stable_offset: i64,
    /// The log's first offset, or -1.
    pub log_start_offset: i64,
    /// Where to read instead, or -1.
    pub preferred_read_replica: i32,
    /// The epoch at which the logs part, and where it ended.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Who leads, and in which epoch.
    pub current_leader: Option<(i32, i32)>,
    /// How many transactions are to be skipped: the owned form names them.
    pub aborted_count: usize,
    /// Whole record batches, though the last may be cut off; null counts as none.
    pub records: &'a [u8],
}

impl<'a> Element<'a> for PartitionDataView<'a> {
    #[inline]
    fn head(version: i16, input: &mut Reader<'a>) -> Result<PartitionDataView<'a>> {
        let flexible = API.is_flexible(version);
        let mut data = PartitionDataView {
            index: input.i32()?,
            error_code: ErrorCode::from_code(input.i16()?),
            high_watermark: input.i64()?,
            last_stable_offset: input.i64()?,
            log_start_offset: if version >= 5 { input.i64()? } else { -1 },
            preferred_read_replica: -1,
            diverging_epoch: None,
            current_leader: None,
            aborted_count: input.count_or_null(flexible)?.unwrap_or(0),
            records: &[],
        };
        for _ in 0..data.aborted_count {
            input.take(size_of::<i64>() * 2)?;
            if flexible {
                input.skip_tags()?;
            }
        }
        if version >= 11 {
            data.preferred_read_replica = input.i32()?;
        }
        data.records = input.bytes_or_null(flexible)?.unwrap_or_default();
        if flexible {
            data.tags(input)?;
        }
        Ok(data)
    }
}

impl<'a> PartitionDataView<'a> {
    #[inline]
    fn tags(&mut self, input: &mut Reader<'a>) -> Result<()> {
        input.tags(|tag, field| {
            match tag {
                0 => self.diverging_epoch = Some((field.i32()?, field.i64()?)),
                1 => self.current_leader = Some((field.i32()?, field.i32()?)),
                _ => return Ok(false),
            }
            field.skip_tags()?;
            Ok(true)
        })
    }
}
