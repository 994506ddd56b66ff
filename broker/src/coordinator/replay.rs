//! From a coordinator's log back to its state.

use ringlog_wire::batch::{Batch, BatchError, Codecs, Compression};
use ringlog_wire::records::control::EndTxn;

use super::Machine;

/// Gives a coordinator all records of whole batches from offset `from` on; says at which offset
/// the batches end.
///
/// # Errors
/// What cannot be read: the coordinator cannot serve.
pub fn replay(
    machine: &mut Machine,
    codecs: &mut Codecs,
    mut bytes: &[u8],
    from: i64,
) -> Result<i64, BatchError> {
    let mut next = from;
    while !bytes.is_empty() {
        let (batch, rest) = Batch::parse(bytes)?;
        bytes = rest;
        next = next.max(batch.header().next_offset());
        match batch.header().compression()? {
            Compression::None => replay_batch(machine, &batch, from)?,
            _ => {
                let limit = usize::MAX;
                let (_, header) = batch.recompress(codecs, Compression::None, -1, limit)?;
                replay_batch(machine, &Batch::from_parts(header, codecs.body()), from)?;
                codecs.trim();
            }
        }
    }
    Ok(next)
}

fn replay_batch(machine: &mut Machine, batch: &Batch<'_>, from: i64) -> Result<(), BatchError> {
    let header = batch.header();
    let producer =
        header.is_transactional().then_some((header.producer_id, header.producer_epoch));
    for record in batch.records() {
        let record = record?;
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset < from {
            continue;
        }
        if header.is_control() {
            // Control records of kinds that are not known end no transaction.
            if let Some(committed) = EndTxn::is_commit(record.key) {
                machine.replay_marker(header.producer_id, committed, offset);
            }
            continue;
        }
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        machine.replay(record.key.unwrap_or_default(), record.value, producer, offset, timestamp);
    }
    Ok(())
}
