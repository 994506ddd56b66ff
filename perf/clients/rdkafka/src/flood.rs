//! `--bench SECONDS`: how fast librdkafka's producer is, as its own `rdkafka_performance` asks it:
//! messages of one size to one topic, as many as its queue takes, acks=all, defaults otherwise.
//!
//! Prints one JSON object with the names of `ringlog-loadgen`. The time runs until the last message
//! is acknowledged, as there: the queue holds half a million that were sent and not acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext};

use crate::Failure;

/// What `rdkafka_performance` sets.
const QUEUE_MESSAGES_MAX: &str = "500000";
const FULL_WAIT: Duration = Duration::from_micros(200);
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(60);
/// The clock is asked once for so many messages.
const MESSAGES_PER_LOOK: u64 = 256;

#[derive(Clone, Default)]
struct Counts {
    acknowledged: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
}

impl ClientContext for Counts {}

impl ProducerContext for Counts {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = if result.is_ok() { &self.acknowledged } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends for so long and returns the object to print.
pub fn run(
    bootstrap: &str,
    topic: &str,
    duration: Duration,
    message_bytes: usize,
) -> Result<serde_json::Value, Failure> {
    let counts = Counts::default();
    let producer: ThreadedProducer<Counts> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("acks", "all")
        .set("queue.buffering.max.messages", QUEUE_MESSAGES_MAX)
        .create_with_context(counts.clone())?;
    let payload = vec![b'x'; message_bytes];
    let began = Instant::now();
    let mut sent = 0_u64;
    while !sent.is_multiple_of(MESSAGES_PER_LOOK) || began.elapsed() < duration {
        match producer.send(BaseRecord::<(), [u8]>::to(topic).payload(&payload)) {
            Ok(()) => sent += 1,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                sleep(FULL_WAIT);
                // A full queue is a time to look at the clock as well.
                if began.elapsed() >= duration {
                    break;
                }
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
    producer.flush(FLUSH_WAIT_MAX)?;
    let seconds = began.elapsed().as_secs_f64();
    let messages = counts.acknowledged.load(Ordering::Relaxed);
    let failed = counts.failed.load(Ordering::Relaxed);
    if failed > 0 {
        return Err(format!("{failed} messages were not acknowledged").into());
    }
    let bytes = messages * message_bytes as u64;
    Ok(serde_json::json!({
        "workload": "rdkafka-producer",
        "messages": messages,
        "bytes": bytes,
        "seconds": seconds,
        "messages_per_second": messages as f64 / seconds,
        "megabytes_per_second": bytes as f64 / 1e6 / seconds,
        "messages_total": messages,
    }))
}
