package ringlog;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Where the broker is, an admin client to it, and what most checks do with it. */
final class Broker implements AutoCloseable {
    private static final long WAIT_MS_MAX = 10_000;
    private static final long SHOWN_MS_MAX = 3_000;

    final Admin admin;
    final String prefix;
    final String bootstrap;

    Broker(String bootstrap, String prefix) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        Properties settings = properties();
        settings.put("default.api.timeout.ms", "10000");
        settings.put("request.timeout.ms", "10000");
        this.admin = Admin.create(settings);
    }

    @Override
    public void close() {
        admin.close();
    }

    private Properties properties() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("enable.metrics.push", "false");
        return settings;
    }

    /**
     * Makes a topic of this check and waits until every partition's leader answers. Without that, a
     * producer's second batch may be taken where its first was refused, and no retry mends it.
     */
    String topic(String name, int partitions, String... settings) throws Exception {
        String full = prefix + "-" + name;
        Map<String, String> configs = new HashMap<>();
        for (int i = 0; i + 1 < settings.length; i += 2) {
            configs.put(settings[i], settings[i + 1]);
        }
        NewTopic topic = new NewTopic(full, partitions, (short) 1).configs(configs);
        admin.createTopics(List.of(topic)).all().get();
        eventually(String.valueOf(partitions), () -> partitionsShown(full));
        Map<TopicPartition, OffsetSpec> ends = new HashMap<>();
        partitionsOf(full, partitions).forEach(place -> ends.put(place, OffsetSpec.latest()));
        admin.listOffsets(ends).all().get();
        return full;
    }

    String partitionsShown(String topic) throws Exception {
        try {
            return String.valueOf(described(topic).partitions().size());
        } catch (ExecutionException failure) {
            if (failure.getCause() instanceof UnknownTopicOrPartitionException) {
                return "none";
            }
            throw failure;
        }
    }

    TopicDescription described(String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    interface Question {
        String ask() throws Exception;
    }

    /**
     * Asks until the answer is the wanted one: a broker may take a moment to show what its
     * controller has done. What it says last is returned.
     */
    static String eventually(String wanted, Question question) throws Exception {
        return eventually(wanted, question, SHOWN_MS_MAX);
    }

    static String eventually(String wanted, Question question, long msMax) throws Exception {
        long deadline = System.currentTimeMillis() + msMax;
        while (true) {
            String answer = question.ask();
            if (answer.equals(wanted) || System.currentTimeMillis() > deadline) {
                return answer;
            }
            Thread.sleep(20);
        }
    }

    KafkaProducer<byte[], byte[]> producer(String... extra) {
        Properties settings = properties();
        settings.put("linger.ms", "5");
        settings.put("delivery.timeout.ms", "10000");
        settings.put("request.timeout.ms", "5000");
        settings.put("max.block.ms", "10000");
        for (int i = 0; i + 1 < extra.length; i += 2) {
            settings.put(extra[i], extra[i + 1]);
        }
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** Sends the records and waits until all are acknowledged; what was answered for each. */
    List<RecordMetadata> produce(List<ProducerRecord<byte[], byte[]>> records, String... extra)
            throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = producer(extra)) {
            return send(producer, records);
        }
    }

    static List<RecordMetadata> send(
            KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records)
            throws Exception {
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : records) {
            futures.add(producer.send(record));
        }
        producer.flush();
        List<RecordMetadata> answers = new ArrayList<>();
        for (Future<RecordMetadata> future : futures) {
            answers.add(future.get());
        }
        return answers;
    }

    /** A consumer without a group. */
    KafkaConsumer<byte[], byte[]> consumer(String... extra) {
        Properties settings = properties();
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        settings.put("fetch.max.wait.ms", "50");
        settings.put("check.crcs", "true");
        settings.put("default.api.timeout.ms", "10000");
        for (int i = 0; i + 1 < extra.length; i += 2) {
            settings.put(extra[i], extra[i + 1]);
        }
        return new KafkaConsumer<>(
                settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static List<TopicPartition> partitionsOf(String topic, int count) {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            all.add(new TopicPartition(topic, partition));
        }
        return all;
    }

    /** Reads all partitions of a topic from their beginning: exactly `count` records. */
    List<ConsumerRecord<byte[], byte[]>> consume(String topic, int partitions, int count) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            Collection<TopicPartition> all = partitionsOf(topic, partitions);
            consumer.assign(all);
            consumer.seekToBeginning(all);
            return poll(consumer, count);
        }
    }

    static List<ConsumerRecord<byte[], byte[]>> poll(
            KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.currentTimeMillis() + WAIT_MS_MAX;
        while (records.size() < count) {
            consumer.poll(Duration.ofMillis(100)).forEach(records::add);
            if (System.currentTimeMillis() > deadline) {
                throw new AssertionError(records.size() + " of " + count + " consumed");
            }
        }
        return records;
    }

    static Throwable cause(Throwable failure) {
        while ((failure instanceof ExecutionException || failure instanceof CompletionException)
                && failure.getCause() != null) {
            failure = failure.getCause();
        }
        return failure;
    }

    /** The protocol's name of what the broker answered, or the class of the client's own exception. */
    static String errorName(Throwable failure) {
        Throwable cause = cause(failure);
        Errors error = Errors.forException(cause);
        return error == Errors.UNKNOWN_SERVER_ERROR ? cause.getClass().getSimpleName() : error.name();
    }
}
