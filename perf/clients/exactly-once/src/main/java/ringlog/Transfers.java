package ringlog;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Reads transfers ("id from to amount") from --source and writes a debit and a credit of each
 * ("id account amount processor") to --target, with its place in the source, in one transaction for
 * each poll.
 *
 * <p>Whatever goes wrong, the transaction is aborted or, where its end cannot be known, settled by a
 * new producer under the same transactional id; then it goes on where the committed offsets say.
 */
final class Transfers implements AutoCloseable {
    private static final int COMMITS_MAX = 5;

    private final ExactlyOnce.Options options;
    private final KafkaConsumer<String, String> consumer;
    private KafkaProducer<String, String> producer;

    static void run(ExactlyOnce.Options options) {
        try (Transfers transfers = new Transfers(options)) {
            while (true) {
                transfers.step();
            }
        }
    }

    private Transfers(ExactlyOnce.Options options) {
        this.options = options;
        Properties settings = ExactlyOnce.base(options);
        settings.put("group.id", options.text("group"));
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", "100");
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "1000");
        // The one strategy that all clients of this group know.
        settings.put("partition.assignment.strategy",
                "org.apache.kafka.clients.consumer.RangeAssignor");
        StringDeserializer text = new StringDeserializer();
        consumer = new KafkaConsumer<>(settings, text, text);
        consumer.subscribe(List.of(options.text("source")));
        renew();
    }

    private void step() {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(200));
        if (records.isEmpty()) {
            return;
        }
        try {
            apply(records);
        } catch (KafkaException failure) {
            System.err.println("a transaction failed: " + failure);
            settle();
            rewind();
        }
    }

    private void apply(ConsumerRecords<String, String> records) {
        Map<TopicPartition, OffsetAndMetadata> places = new HashMap<>();
        producer.beginTransaction();
        for (ConsumerRecord<String, String> record : records) {
            String[] words = record.value().split(" ");
            move(words[0], words[1], "-" + words[3]);
            move(words[0], words[2], words[3]);
            TopicPartition place = new TopicPartition(record.topic(), record.partition());
            places.put(place, new OffsetAndMetadata(record.offset() + 1));
        }
        producer.sendOffsetsToTransaction(places, consumer.groupMetadata());
        for (int tries = 1;; tries++) {
            try {
                producer.commitTransaction();
                return;
            } catch (TimeoutException late) {
                if (tries == COMMITS_MAX) {
                    throw late;
                }
            }
        }
    }

    private void move(String id, String account, String amount) {
        String processor = options.text("transactional-id");
        String movement = String.join(" ", id, account, amount, processor);
        producer.send(new ProducerRecord<>(options.text("target"), account, movement));
    }

    /** Ends the transaction that failed, so that afterwards either all of it counts or nothing. */
    private void settle() {
        try {
            producer.abortTransaction();
        } catch (KafkaException | IllegalStateException fatal) {
            System.err.println("a producer failed: " + fatal);
            producer.close(Duration.ZERO);
            renew();
        }
    }

    private void renew() {
        Properties settings = ExactlyOnce.base(options);
        settings.put("transactional.id", options.text("transactional-id"));
        settings.put("transaction.timeout.ms", "10000");
        StringSerializer text = new StringSerializer();
        producer = new KafkaProducer<>(settings, text, text);
        while (true) {
            try {
                producer.initTransactions();
                return;
            } catch (TimeoutException late) {
                System.err.println("no producer id yet: " + late);
            }
        }
    }

    /** Goes back to what is committed; partitions that leave meanwhile are no longer ours. */
    private void rewind() {
        while (true) {
            try {
                var committed = consumer.committed(consumer.assignment());
                for (TopicPartition place : consumer.assignment()) {
                    OffsetAndMetadata next = committed.get(place);
                    if (next == null) {
                        consumer.seekToBeginning(List.of(place));
                    } else {
                        consumer.seek(place, next);
                    }
                }
                return;
            } catch (TimeoutException late) {
                System.err.println("no committed offsets yet: " + late);
            }
        }
    }

    @Override
    public void close() {
        producer.close(Duration.ZERO);
        consumer.close();
    }
}
