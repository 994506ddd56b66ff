package ringlog;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Checks of transactions. What was committed is read by the client itself and by kcat, which tells
 * of everything to the end that it is shown.
 */
final class Transactions {
    private static final String COMMITTED = "read_committed";
    private static final String UNCOMMITTED = "read_uncommitted";
    private static final long WAIT_MS_MAX = 15_000;

    static List<Main.Check> checks() {
        return List.of(
                new Main.Check("transactions/commit", Transactions::commit),
                new Main.Check("transactions/abort", Transactions::abort),
                new Main.Check("transactions/offsets", Transactions::offsets),
                new Main.Check("transactions/fencing", Transactions::fencing),
                new Main.Check("transactions/timeout", Transactions::timeout),
                new Main.Check("transactions/admin", Transactions::admin));
    }

    private static KafkaProducer<byte[], byte[]> producer(
            Broker broker, String name, String... settings) {
        KafkaProducer<byte[], byte[]> producer = broker.producer(
                Flow.with(settings, "transactional.id", broker.prefix + "-" + name));
        producer.initTransactions();
        return producer;
    }

    private static void send(
            KafkaProducer<byte[], byte[]> producer, String topic, String... values)
            throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (String value : values) {
            records.add(new ProducerRecord<>(topic, 0, null, value.getBytes()));
        }
        Broker.send(producer, records);
    }

    /** What kcat reads of a topic to the end that it is shown, as offset:value. */
    private static List<String> kcat(Broker broker, String topic, String isolation)
            throws Exception {
        Process process = new ProcessBuilder("kcat", "-C", "-b", broker.bootstrap, "-t", topic,
                "-o", "beginning", "-e", "-q", "-f", "%o:%s\\n", "-X", "fetch.wait.max.ms=50",
                "-X", "isolation.level=" + isolation).start();
        String text = new String(process.getInputStream().readAllBytes());
        if (!process.waitFor(WAIT_MS_MAX, TimeUnit.MILLISECONDS) || process.exitValue() != 0) {
            throw new AssertionError("kcat: " + new String(process.getErrorStream().readAllBytes()));
        }
        return text.lines().toList();
    }

    /** A coordinator may answer before all partitions have its decision. */
    private static void untilShown(Broker broker, String topic, String... wanted)
            throws Exception {
        String all = Arrays.toString(wanted);
        Main.expect(all, Broker.eventually(
                all, () -> kcat(broker, topic, COMMITTED).toString()));
    }

    /** The client reads the same as kcat. */
    private static List<String> shown(Broker broker, String topic, String isolation)
            throws Exception {
        List<String> wanted = kcat(broker, topic, isolation);
        try (KafkaConsumer<byte[], byte[]> consumer =
                broker.consumer("isolation.level", isolation)) {
            List<TopicPartition> place = List.of(new TopicPartition(topic, 0));
            consumer.assign(place);
            consumer.seekToBeginning(place);
            List<String> found = new ArrayList<>();
            for (ConsumerRecord<byte[], byte[]> record : Broker.poll(consumer, wanted.size())) {
                found.add(record.offset() + ":" + new String(record.value()));
            }
            Main.expect(wanted.toString(), found.toString());
        }
        return wanted;
    }

    private static String commit(Broker broker) throws Exception {
        String topic = broker.topic("transactions-commit", 1);
        try (KafkaProducer<byte[], byte[]> producer = producer(broker, "transactions-commit")) {
            producer.beginTransaction();
            send(producer, topic, "a", "b");
            String open = shown(broker, topic, COMMITTED) + " " + shown(broker, topic, UNCOMMITTED);
            producer.commitTransaction();
            producer.beginTransaction();
            send(producer, topic, "c");
            producer.commitTransaction();
            untilShown(broker, topic, "0:a", "1:b", "3:c");
            return "open: " + open + "; then " + shown(broker, topic, COMMITTED) + " "
                    + shown(broker, topic, UNCOMMITTED);
        }
    }

    private static String abort(Broker broker) throws Exception {
        String topic = broker.topic("transactions-abort", 1);
        try (KafkaProducer<byte[], byte[]> producer = producer(broker, "transactions-abort")) {
            for (String value : List.of("a", "b", "c", "d")) {
                producer.beginTransaction();
                send(producer, topic, value, value);
                if (value.equals("a") || value.equals("c")) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            untilShown(broker, topic, "3:b", "4:b", "9:d", "10:d");
            return shown(broker, topic, COMMITTED) + " of " + shown(broker, topic, UNCOMMITTED);
        }
    }

    /** Consume, transform, produce: every third transaction is aborted and done anew. */
    private static String offsets(Broker broker) throws Exception {
        String output = broker.topic("transactions-offsets-output", 1);
        List<String> wanted = new ArrayList<>();
        try (Flow flow = new Flow(broker, "transactions-offsets", 1);
                KafkaConsumer<byte[], byte[]> consumer = broker.consumer("group.id", flow.group,
                        "auto.offset.reset", "earliest", "isolation.level", COMMITTED,
                        "max.poll.records", "7");
                KafkaProducer<byte[], byte[]> producer = producer(broker, "transactions-offsets")) {
            for (int i = 0; i < 10; i++) {
                flow.send();
                for (int partition = 0; partition < Flow.PARTITIONS; partition++) {
                    wanted.add(partition + "-" + i);
                }
            }
            consumer.subscribe(flow.topics);
            transform(consumer, producer, output, wanted.size());
            Collections.sort(wanted);
            String all = wanted.toString();
            Main.expect(all, Broker.eventually(all, () -> kcat(broker, output, COMMITTED).stream()
                    .map(line -> line.split(":")[1]).sorted().toList().toString()));
            List<Long> committed = flow.committed().values().stream()
                    .map(OffsetAndMetadata::offset).toList();
            return Main.expect("[10, 10, 10, 10, 10, 10]", committed.toString());
        }
    }

    private static void transform(KafkaConsumer<byte[], byte[]> consumer,
            KafkaProducer<byte[], byte[]> producer, String output, int count) throws Exception {
        long deadline = System.currentTimeMillis() + WAIT_MS_MAX;
        int round = 0;
        for (int done = 0; done < count;) {
            if (System.currentTimeMillis() > deadline) {
                throw new AssertionError(done + " of " + count + " in " + round + " rounds");
            }
            ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
            if (batch.isEmpty()) {
                continue;
            }
            producer.beginTransaction();
            Map<TopicPartition, OffsetAndMetadata> starts = new HashMap<>();
            Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
            for (ConsumerRecord<byte[], byte[]> record : batch) {
                TopicPartition place = new TopicPartition(record.topic(), record.partition());
                starts.putIfAbsent(place, new OffsetAndMetadata(record.offset()));
                ends.put(place, new OffsetAndMetadata(record.offset() + 1));
                send(producer, output, record.partition() + "-" + new String(record.value()));
            }
            producer.sendOffsetsToTransaction(ends, consumer.groupMetadata());
            if (++round % 3 == 0) {
                producer.abortTransaction();
                starts.forEach(consumer::seek);
            } else {
                producer.commitTransaction();
                done += batch.count();
            }
        }
    }

    private static String fencing(Broker broker) throws Exception {
        String topic = broker.topic("transactions-fencing", 1);
        Failures.Answers answers = new Failures.Answers();
        KafkaProducer<byte[], byte[]> old = producer(broker, "transactions-fencing");
        old.beginTransaction();
        send(old, topic, "a");
        try (KafkaProducer<byte[], byte[]> late = producer(broker, "transactions-fencing")) {
            answers.add("send", () -> send(old, topic, "b"));
            answers.add("commit", old::commitTransaction);
            answers.add("begin", old::beginTransaction);
            late.beginTransaction();
            send(late, topic, "c");
            late.commitTransaction();
        }
        old.close(Duration.ZERO);
        untilShown(broker, topic, "2:c");
        return answers.all() + "; " + shown(broker, topic, COMMITTED);
    }

    private static String timeout(Broker broker) throws Exception {
        String topic = broker.topic("transactions-timeout", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        Failures.Answers answers = new Failures.Answers();
        KafkaProducer<byte[], byte[]> late =
                producer(broker, "transactions-timeout", "transaction.timeout.ms", "1000");
        late.beginTransaction();
        send(late, topic, "a");
        // The marker of its end stands behind, once the broker has aborted it.
        try (KafkaConsumer<byte[], byte[]> reader = broker.consumer()) {
            Main.expect("2", Broker.eventually("2", () ->
                    reader.endOffsets(List.of(place)).get(place).toString(), WAIT_MS_MAX));
        }
        answers.add("commit", late::commitTransaction);
        late.close(Duration.ZERO);
        try (KafkaProducer<byte[], byte[]> next = producer(broker, "transactions-timeout")) {
            next.beginTransaction();
            send(next, topic, "b");
            next.commitTransaction();
        }
        untilShown(broker, topic, "2:b");
        return answers.all() + "; " + shown(broker, topic, COMMITTED);
    }

    private static String admin(Broker broker) throws Exception {
        String topic = broker.topic("transactions-admin", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        String name = broker.prefix + "-transactions-admin";
        Admin admin = broker.admin;
        Failures.Answers answers = new Failures.Answers();
        KafkaProducer<byte[], byte[]> producer = producer(broker, "transactions-admin");
        answers.note("new", described(admin, name));
        producer.beginTransaction();
        send(producer, topic, "a");
        answers.note("open", described(admin, name));
        answers.note("listed", listed(admin, name, new ListTransactionsOptions()));
        answers.note("listed by duration", listed(
                admin, name, new ListTransactionsOptions().filterOnDuration(3_600_000)));
        answers.note("listed by pattern", listed(admin, name, new ListTransactionsOptions()
                .filterOnTransactionalIdPattern(broker.prefix + "-.*-admin")));
        ProducerState state = producers(admin, place).get(0);
        answers.note("producers", state.currentTransactionStartOffset() + " last sequence "
                + state.lastSequence());
        admin.abortTransaction(new AbortTransactionSpec(place, state.producerId(),
                (short) state.producerEpoch(), state.coordinatorEpoch().orElse(-1))).all().get();
        untilShown(broker, topic);
        answers.note("aborted by hand", producers(admin, place).get(0)
                .currentTransactionStartOffset());
        admin.fenceProducers(List.of(name)).all().get();
        answers.note("fenced", described(admin, name));
        answers.add("commit", producer::commitTransaction);
        producer.close(Duration.ZERO);
        answers.add("describe unknown", () -> described(admin, name + "-never-made"));
        return answers.all();
    }

    private static String described(Admin admin, String name) throws Exception {
        TransactionDescription found =
                admin.describeTransactions(List.of(name)).all().get().get(name);
        return found.state() + " epoch " + found.producerEpoch() + " partitions "
                + found.topicPartitions().size() + " timeout " + found.transactionTimeoutMs()
                + " started " + found.transactionStartTimeMs().isPresent();
    }

    private static List<String> listed(Admin admin, String name, ListTransactionsOptions options)
            throws Exception {
        return admin.listTransactions(options).all().get().stream()
                .filter(one -> one.transactionalId().equals(name))
                .map(one -> one.state().toString()).toList();
    }

    private static List<ProducerState> producers(Admin admin, TopicPartition place)
            throws Exception {
        return admin.describeProducers(List.of(place)).partitionResult(place).get()
                .activeProducers();
    }

    private Transactions() {}
}
