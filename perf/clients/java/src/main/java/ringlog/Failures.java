package ringlog;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/** Checks of what the client says when the broker refuses. */
final class Failures {
    static List<Main.Check> checks() {
        return List.of(
                new Main.Check("errors/unknown-topic", Failures::unknownTopic),
                new Main.Check("errors/too-large", Failures::tooLarge),
                new Main.Check("errors/invalid-name", Failures::invalidName),
                new Main.Check("errors/exists", Failures::exists),
                new Main.Check("errors/out-of-range", Failures::outOfRange),
                new Main.Check("errors/bad-config", Failures::badConfig),
                new Main.Check("errors/bad-partitions", Failures::badPartitions));
    }

    interface Attempt {
        void run() throws Exception;
    }

    /** What was tried and the name of the error that came; that none came is an error of its own. */
    static final class Answers {
        private final List<String> lines = new ArrayList<>();

        void add(String what, Attempt attempt) {
            String name = "NONE";
            try {
                attempt.run();
            } catch (Exception failure) {
                name = Broker.errorName(failure);
            }
            lines.add(what + ": " + name);
        }

        /** An answer that is no error. */
        void note(String what, Object answer) {
            lines.add(what + ": " + answer);
        }

        String all() {
            String text = String.join("; ", lines);
            if (text.contains(": NONE")) {
                throw new AssertionError("no error: " + text);
            }
            return text;
        }
    }

    private static String unknownTopic(Broker broker) {
        String topic = broker.prefix + "-never-made";
        TopicPartition place = new TopicPartition(topic, 0);
        Answers answers = new Answers();
        answers.add("describe", () -> broker.described(topic));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        answers.add("configs", () -> broker.admin.describeConfigs(List.of(resource)).all().get());
        NewPartitions more = NewPartitions.increaseTo(2);
        answers.add("grow", () -> broker.admin.createPartitions(Map.of(topic, more)).all().get());
        answers.add("delete", () -> broker.admin.deleteTopics(List.of(topic)).all().get());
        AlterConfigOp change = new AlterConfigOp(
                new ConfigEntry("retention.ms", "1"), AlterConfigOp.OpType.SET);
        answers.add("alter", () -> broker.admin
                .incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get());
        answers.add("producers", () -> broker.admin.describeProducers(List.of(place),
                new org.apache.kafka.clients.admin.DescribeProducersOptions().timeoutMs(500))
                .all().get());
        return answers.all();
    }

    private static String tooLarge(Broker broker) throws Exception {
        String topic = broker.topic("too-large", 1);
        String small = broker.topic("too-large-small", 1, "max.message.bytes", "1000");
        Answers answers = new Answers();
        String[] limit = {"max.request.size", "8388608"};
        answers.add("2 MiB", () -> broker.produce(
                List.of(new ProducerRecord<>(topic, new byte[2 << 20])), limit));
        answers.add("1000 of 1000", () -> broker.produce(
                List.of(new ProducerRecord<>(small, new byte[1000])), limit));
        broker.produce(List.of(new ProducerRecord<>(small, new byte[900])), limit);
        // More than a batch may hold, but not the records: the producer splits and sends again.
        broker.produce(Records.numbered(small, 1, 40), "batch.size", "16384");
        return answers.all() + "; a batch of too many: split";
    }

    private static void create(
            Broker broker, String name, int partitions, int replicas, Map<String, String> configs)
            throws Exception {
        NewTopic topic = new NewTopic(name, partitions, (short) replicas).configs(configs);
        broker.admin.createTopics(List.of(topic)).all().get();
    }

    private static String invalidName(Broker broker) {
        Answers answers = new Answers();
        Map<String, String> none = Map.of();
        answers.add("space", () -> create(broker, broker.prefix + " bad", 1, 1, none));
        answers.add("slash", () -> create(broker, broker.prefix + "/bad", 1, 1, none));
        answers.add("letter", () -> create(broker, broker.prefix + "-ü", 1, 1, none));
        answers.add("empty", () -> create(broker, "", 1, 1, none));
        answers.add("dot", () -> create(broker, ".", 1, 1, none));
        answers.add("dots", () -> create(broker, "..", 1, 1, none));
        answers.add("250 letters", () -> create(broker, "a".repeat(250), 1, 1, none));
        return answers.all();
    }

    private static String exists(Broker broker) throws Exception {
        String topic = broker.topic("exists", 1);
        String dotted = broker.topic("exists.collides", 1);
        Answers answers = new Answers();
        answers.add("again", () -> create(broker, topic, 1, 1, Map.of()));
        answers.add("other partitions", () -> create(broker, topic, 2, 1, Map.of()));
        answers.add("collision", () -> create(broker, dotted.replace('.', '_'), 1, 1, Map.of()));
        return answers.all();
    }

    private static String outOfRange(Broker broker) throws Exception {
        String topic = broker.topic("out-of-range", 1);
        broker.produce(Records.numbered(topic, 1, 10));
        TopicPartition place = new TopicPartition(topic, 0);
        Answers answers = new Answers();
        // With auto.offset.reset=none the consumer throws what the fetch was answered.
        answers.add("fetch at 1000", () -> {
            try (KafkaConsumer<byte[], byte[]> consumer = broker.consumer()) {
                consumer.assign(List.of(place));
                consumer.seek(place, 1000);
                Broker.poll(consumer, 1);
            }
        });
        Map<TopicPartition, RecordsToDelete> beyond =
                Map.of(place, RecordsToDelete.beforeOffset(11));
        answers.add("delete before 11", () -> broker.admin.deleteRecords(beyond).all().get());
        Map<TopicPartition, OffsetSpec> missing =
                Map.of(new TopicPartition(topic, 7), OffsetSpec.latest());
        answers.add("offsets of partition 7", () -> broker.admin.listOffsets(missing,
                new org.apache.kafka.clients.admin.ListOffsetsOptions().timeoutMs(500))
                .all().get());
        return answers.all();
    }

    private static String badConfig(Broker broker) throws Exception {
        String topic = broker.topic("bad-config", 1);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Answers answers = new Answers();
        String[][] pairs = {
            {"no.such.setting", "1"}, {"retention.ms", "soon"}, {"retention.ms", "-2"},
            {"cleanup.policy", "burn"}, {"compression.type", "brotli"}, {"segment.bytes", "1"},
            {"min.insync.replicas", "0"}, {"message.timestamp.type", "Never"},
            {"max.message.bytes", "-1"}, {"unclean.leader.election.enable", "perhaps"},
        };
        for (String[] pair : pairs) {
            String what = pair[0] + "=" + pair[1];
            String name = broker.prefix + "-bad-config-new";
            answers.add("create " + what,
                    () -> create(broker, name, 1, 1, Map.of(pair[0], pair[1])));
            AlterConfigOp change = new AlterConfigOp(
                    new ConfigEntry(pair[0], pair[1]), AlterConfigOp.OpType.SET);
            answers.add("alter " + what, () -> broker.admin
                    .incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get());
        }
        return answers.all();
    }

    private static String badPartitions(Broker broker) throws Exception {
        String topic = broker.topic("bad-partitions", 3);
        String name = broker.prefix + "-bad-partitions-new";
        Answers answers = new Answers();
        for (int count : new int[] {0, -2}) {
            answers.add("create " + count, () -> create(broker, name, count, 1, Map.of()));
        }
        for (int replicas : new int[] {0, -2, 30}) {
            answers.add("replicas " + replicas, () -> create(broker, name, 1, replicas, Map.of()));
        }
        for (int count : new int[] {2, 3, -1}) {
            NewPartitions change = NewPartitions.increaseTo(count);
            answers.add("grow 3 to " + count,
                    () -> broker.admin.createPartitions(Map.of(topic, change)).all().get());
        }
        NewTopic twice = new NewTopic(name, Map.of(0, List.of(4040)));
        answers.add("on broker 4040", () -> broker.admin.createTopics(List.of(twice)).all().get());
        return answers.all();
    }

    private Failures() {}
}
