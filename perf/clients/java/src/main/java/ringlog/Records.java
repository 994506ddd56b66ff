package ringlog;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;

/** Checks of what is sent and read. */
final class Records {
    private static final int CODEC_RECORDS = 1000;
    private static final int CODEC_PARTITIONS = 4;
    /** The first of the timestamps that checks give; a topic with such keeps its records for ever. */
    static final long TIME_FIRST = 1_700_000_000_000L;

    static List<Main.Check> checks() {
        List<Main.Check> all = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            all.add(new Main.Check("codec/" + codec, broker -> roundTrip(broker, "codec-" + codec,
                    CODEC_PARTITIONS, CODEC_RECORDS, "compression.type", codec)));
        }
        for (String acks : List.of("0", "1", "all")) {
            all.add(new Main.Check("acks/" + acks, broker -> roundTrip(broker, "acks-" + acks,
                    1, 100, "acks", acks, "enable.idempotence", "false")));
        }
        all.add(new Main.Check("idempotence", broker -> roundTrip(broker, "idempotence", 1, 400,
                "enable.idempotence", "true", "batch.size", "1000",
                "max.in.flight.requests.per.connection", "5")));
        all.add(new Main.Check("headers", Records::headers));
        all.add(new Main.Check("nulls", Records::nulls));
        all.add(new Main.Check("sizes", Records::sizes));
        for (int partitions : new int[] {1, 64}) {
            all.add(new Main.Check("partitions/" + partitions,
                    broker -> roundTrip(broker, "partitions-" + partitions, partitions, 640)));
        }
        all.add(new Main.Check("seek/offset", Records::seekOffset));
        all.add(new Main.Check("seek/timestamp", Records::seekTimestamp));
        all.add(new Main.Check("seek/ends", Records::seekEnds));
        return all;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static List<ProducerRecord<byte[], byte[]>> numbered(String topic, int partitions, int count) {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            byte[] value = bytes(("record " + i + " ").repeat(12));
            records.add(new ProducerRecord<>(topic, i % partitions, bytes("key " + i), value));
        }
        return records;
    }

    /**
     * Sends `count` records, record i to partition i % partitions, and compares all of them with
     * what it reads: contents, offsets, timestamps.
     */
    private static String roundTrip(
            Broker broker, String name, int partitions, int count, String... extra)
            throws Exception {
        String topic = broker.topic(name, partitions);
        List<ProducerRecord<byte[], byte[]>> sent = numbered(topic, partitions, count);
        List<RecordMetadata> answers = broker.produce(sent, extra);
        Map<Integer, Long> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : broker.consume(topic, partitions, count)) {
            long wanted = next.merge(record.partition(), 1L, Long::sum) - 1;
            String place = "partition " + record.partition() + " offset " + record.offset();
            if (record.offset() != wanted) {
                throw new AssertionError(place + " where " + wanted + " was next");
            }
            int index = (int) wanted * partitions + record.partition();
            boolean isSame = Arrays.equals(record.key(), sent.get(index).key())
                    && Arrays.equals(record.value(), sent.get(index).value());
            RecordMetadata answer = answers.get(index);
            boolean isAnswered = !answer.hasOffset()
                    || answer.offset() == wanted && answer.timestamp() == record.timestamp();
            if (!isSame || !isAnswered) {
                throw new AssertionError(place + ": other than sent or acknowledged");
            }
        }
        TreeMap<Long, Integer> ends = new TreeMap<>();
        next.values().forEach(end -> ends.merge(end, 1, Integer::sum));
        return count + " records, offsets acknowledged: " + answers.get(0).hasOffset()
                + ", partitions by end: " + ends;
    }

    private static String shown(byte[] value) {
        if (value == null) {
            return "null";
        }
        StringBuilder out = new StringBuilder("'");
        for (byte b : value) {
            out.append(b >= ' ' && b < 127 ? String.valueOf((char) b) : String.format("%%%02x", b));
        }
        return out.append("'").toString();
    }

    private static String headers(Broker broker) throws Exception {
        String topic = broker.topic("headers", 1);
        List<ProducerRecord<byte[], byte[]>> records = numbered(topic, 1, 2);
        records.get(0).headers().add("plain", bytes("value")).add("again", bytes("first"))
                .add("again", bytes("second")).add("empty", new byte[0]).add("null", null)
                .add("", bytes("no key")).add("ключ", new byte[] {0, (byte) 0xff, (byte) 0x80});
        broker.produce(records);
        List<String> shown = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : broker.consume(topic, 1, 2)) {
            for (Header header : record.headers()) {
                shown.add(header.key() + "=" + shown(header.value()));
            }
        }
        return Main.expect("[plain='value', again='first', again='second', empty='', null=null, "
                + "='no key', ключ='%00%ff%80']", shown.toString());
    }

    private static String nulls(Broker broker) throws Exception {
        String topic = broker.topic("nulls", 1);
        byte[][][] pairs = {
            {null, bytes("value")}, {bytes("key"), null}, {null, null},
            {{}, bytes("value")}, {bytes("key"), {}}, {{}, {}},
        };
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (byte[][] pair : pairs) {
            records.add(new ProducerRecord<>(topic, pair[0], pair[1]));
        }
        broker.produce(records);
        List<String> shown = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : broker.consume(topic, 1, pairs.length)) {
            shown.add(shown(record.key()) + ":" + shown(record.value()));
        }
        return Main.expect("[null:'value', 'key':null, null:null, '':'value', 'key':'', '':'']",
                shown.toString());
    }

    private static String sizes(Broker broker) throws Exception {
        String topic = broker.topic(
                "sizes", 1, "max.message.bytes", "4194304", "segment.bytes", "16777216");
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (int size : new int[] {1, 1 << 20, 1, 3 << 20, 1}) {
            byte[] value = new byte[size];
            for (int at = 0; at < size; at++) {
                value[at] = (byte) (at / 1000);
            }
            records.add(new ProducerRecord<>(topic, 0, null, value));
        }
        broker.produce(records, "max.request.size", "8388608");
        List<Integer> shown = new ArrayList<>();
        for (ConsumerRecord<byte[], byte[]> record : broker.consume(topic, 1, records.size())) {
            if (!Arrays.equals(record.value(), records.get(shown.size()).value())) {
                throw new AssertionError("record " + shown.size() + " came back otherwise");
            }
            shown.add(record.value().length);
        }
        return shown.toString();
    }

    /** Makes a topic with ten batches of ten records, one second apart. */
    static String timed(Broker broker, String name) throws Exception {
        String topic = broker.topic(name, 1, "retention.ms", "-1");
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : numbered(topic, 1, 100)) {
            long time = TIME_FIRST + records.size() * 1000L;
            records.add(new ProducerRecord<>(topic, 0, time, record.key(), record.value()));
        }
        try (KafkaProducer<byte[], byte[]> producer = broker.producer()) {
            for (int at = 0; at < records.size(); at += 10) {
                Broker.send(producer, records.subList(at, at + 10));
            }
        }
        return topic;
    }

    /** The offset of the first record that comes. */
    private static long first(KafkaConsumer<byte[], byte[]> consumer) {
        ConsumerRecord<byte[], byte[]> record = Broker.poll(consumer, 1).get(0);
        if (!Arrays.equals(record.key(), bytes("key " + record.offset()))) {
            throw new AssertionError("offset " + record.offset() + " has another record");
        }
        return record.offset();
    }

    private static String seekOffset(Broker broker) throws Exception {
        TopicPartition place = new TopicPartition(timed(broker, "seek-offset"), 0);
        List<Long> shown = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            consumer.assign(List.of(place));
            for (long offset : new long[] {99, 0, 1, 9, 55, 10}) {
                consumer.seek(place, offset);
                shown.add(first(consumer));
            }
        }
        return Main.expect("[99, 0, 1, 9, 55, 10]", shown.toString());
    }

    private static String seekTimestamp(Broker broker) throws Exception {
        TopicPartition place = new TopicPartition(timed(broker, "seek-timestamp"), 0);
        List<String> shown = new ArrayList<>();
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            consumer.assign(List.of(place));
            for (long after : new long[] {-1000, 0, 1, 1000, 9_999, 42_000, 42_001, 99_000}) {
                long time = TIME_FIRST + after;
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, time)).get(place);
                consumer.seek(place, found.offset());
                shown.add(first(consumer) + "@" + (found.timestamp() - TIME_FIRST)
                        + " epoch " + found.leaderEpoch().orElse(-1));
            }
            shown.add("later: "
                    + consumer.offsetsForTimes(Map.of(place, TIME_FIRST + 99_001)).get(place));
        }
        return Main.expect("[0@0 epoch 0, 0@0 epoch 0, 1@1000 epoch 0, 1@1000 epoch 0, "
                + "10@10000 epoch 0, 42@42000 epoch 0, 43@43000 epoch 0, 99@99000 epoch 0, "
                + "later: null]", shown.toString());
    }

    /** Starts at the beginning, and at the end, where only what is sent later comes. */
    private static String seekEnds(Broker broker) throws Exception {
        TopicPartition place = new TopicPartition(timed(broker, "seek-ends"), 0);
        try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
            consumer.assign(List.of(place));
            consumer.seekToBeginning(List.of(place));
            long first = first(consumer);
            consumer.seekToEnd(List.of(place));
            long end = consumer.position(place);
            broker.produce(List.of(new ProducerRecord<>(place.topic(), bytes("key 100"), null)));
            long late = first(consumer);
            long begins = consumer.beginningOffsets(List.of(place)).get(place);
            long ends = consumer.endOffsets(List.of(place)).get(place);
            return Main.expect("first 0, end 100, late 100, from 0 to 101, lag 0",
                    "first " + first + ", end " + end + ", late " + late + ", from " + begins
                            + " to " + ends + ", lag " + consumer.currentLag(place).orElse(-1));
        }
    }

    private Records() {}
}
