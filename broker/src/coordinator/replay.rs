//! From a coordinator's log back to its state.

use ringlog_storage::transaction::Marker;
use ringlog_wire::batch::{Batch, BatchError, Codecs, Compression};

/// What a coordinator's log is read into.
pub trait Replayed {
    /// The next record; `producer` is the id and epoch of one in a transaction.
    ///
    /// # Errors
    /// It cannot be read.
    fn record(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        producer: Option<(i64, i16)>,
        offset: i64,
        timestamp_ms: i64,
    ) -> Result<(), String>;

    /// The next marker.
    fn marker(&mut self, producer_id: i64, committed: bool, offset: i64);
}

/// Gives `into` all records of whole batches from offset `from` on; says at which offset
/// the batches end.
///
/// # Errors
/// What cannot be read: the coordinator cannot serve.
pub fn replay(
    into: &mut dyn Replayed,
    codecs: &mut Codecs,
    mut bytes: &[u8],
    from: i64,
) -> Result<i64, String> {
    let mut next = from;
    while !bytes.is_empty() {
        let (batch, rest) = Batch::parse(bytes).map_err(unreadable)?;
        bytes = rest;
        next = next.max(batch.header().next_offset());
        match batch.header().compression().map_err(unreadable)? {
            Compression::None => replay_batch(into, &batch, from)?,
            _ => {
                let limit = usize::MAX;
                let opened = batch.recompress(codecs, Compression::None, -1, limit);
                let (_, header) = opened.map_err(unreadable)?;
                replay_batch(into, &Batch::from_parts(header, codecs.body()), from)?;
                codecs.trim();
            }
        }
    }
    Ok(next)
}

fn replay_batch(into: &mut dyn Replayed, batch: &Batch<'_>, from: i64) -> Result<(), String> {
    let header = batch.header();
    if header.is_control() {
        // Control records of kinds that are not known end no transaction.
        if let Some(marker) = Marker::decode(batch) {
            into.marker(marker.producer_id, marker.committed, header.base_offset);
        }
        return Ok(());
    }
    let producer =
        header.is_transactional().then_some((header.producer_id, header.producer_epoch));
    for record in batch.records() {
        let record = record.map_err(unreadable)?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset < from {
            continue;
        }
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        let key = record.key.unwrap_or_default();
        let replayed = into.record(key, record.value, producer, offset, timestamp);
        replayed.map_err(|why| format!("the record at offset {offset}: {why}"))?;
    }
    Ok(())
}

fn unreadable(error: BatchError) -> String {
    format!("a batch cannot be read: {error}")
}
