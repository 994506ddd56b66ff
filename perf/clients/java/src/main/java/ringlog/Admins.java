package ringlog;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.FeatureUpdate;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.QuorumInfo;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ReplicaInfo;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** Checks of every call of Admin that a single node can answer, groups and transactions apart. */
final class Admins {
    static List<Main.Check> checks() {
        return List.of(
                new Main.Check("admin/create", Admins::create),
                new Main.Check("admin/describe", Admins::describe),
                new Main.Check("admin/describe-many", Admins::describeMany),
                new Main.Check("admin/configs", Admins::configs),
                new Main.Check("admin/configs-broker", Admins::brokerConfigs),
                new Main.Check("admin/config-resources", Admins::configResources),
                new Main.Check("admin/partitions", Admins::partitions),
                new Main.Check("admin/offsets", Admins::offsets),
                new Main.Check("admin/delete-records", Admins::deleteRecords),
                new Main.Check("admin/delete", Admins::delete),
                new Main.Check("admin/cluster", Admins::cluster),
                new Main.Check("admin/log-dirs", Admins::logDirs),
                new Main.Check("admin/producers", Admins::producers),
                new Main.Check("admin/features", Admins::features),
                new Main.Check("admin/metadata-quorum", Admins::quorum),
                new Main.Check("admin/elect-leaders", Admins::electLeaders),
                new Main.Check("admin/reassignments", Admins::reassignments));
    }

    private static String outcome(KafkaFuture<?> future) throws InterruptedException {
        try {
            future.get();
            return "NONE";
        } catch (java.util.concurrent.ExecutionException failure) {
            return Broker.errorName(failure);
        }
    }

    private static String create(Broker broker) throws Exception {
        String name = broker.prefix + "-create";
        List<NewTopic> topics = List.of(
                new NewTopic(name, 3, (short) 1).configs(Map.of("retention.ms", "123456")),
                new NewTopic(name + "-defaults", Optional.empty(), Optional.empty()));
        broker.admin.createTopics(topics, new CreateTopicsOptions().validateOnly(true)).all().get();
        CreateTopicsResult result = broker.admin.createTopics(topics);
        result.all().get();
        ConfigEntry retention = result.config(name).get().get("retention.ms");
        return "partitions " + result.numPartitions(name).get()
                + ", replicas " + result.replicationFactor(name).get()
                + ", id " + !result.topicId(name).get().equals(Uuid.ZERO_UUID)
                + ", retention.ms=" + retention.value() + " " + retention.source()
                + ", defaults: replicas " + result.replicationFactor(name + "-defaults").get()
                + ", configs " + shown(result.config(name + "-defaults").get(), false);
    }

    private static String describe(Broker broker) throws Exception {
        String name = broker.topic("describe", 5);
        boolean isListed = broker.admin.listTopics().names().get().contains(name);
        DescribeTopicsOptions asked =
                new DescribeTopicsOptions().includeAuthorizedOperations(true);
        TopicDescription byName = broker.admin.describeTopics(
                TopicCollection.ofTopicNames(List.of(name)), asked).allTopicNames().get().get(name);
        Uuid id = byName.topicId();
        TopicDescription byId = broker.admin.describeTopics(
                TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id);
        if (!byId.name().equals(name) || !nodes(byId).equals(nodes(byName))) {
            throw new AssertionError("by name " + byName + ", by id " + byId);
        }
        List<String> lines = new ArrayList<>();
        for (TopicPartitionInfo partition : byName.partitions()) {
            Node leader = partition.leader();
            if (leader == null || !partition.replicas().equals(List.of(leader))
                    || !partition.isr().equals(List.of(leader))) {
                throw new AssertionError("partition " + partition);
            }
            lines.add(partition.partition() + ": one replica, in sync, eligible "
                    + size(partition.elr()) + ", last known " + size(partition.lastKnownElr()));
        }
        return "listed " + isListed + ", internal " + byName.isInternal() + ", authorized "
                + new TreeSet<>(byName.authorizedOperations()) + ", " + String.join("; ", lines);
    }

    private static List<List<?>> nodes(TopicDescription topic) {
        return topic.partitions().stream().<List<?>>map(partition -> List.of(
                partition.leader(), partition.replicas(), partition.isr())).toList();
    }

    private static int size(Collection<?> all) {
        return all == null ? -1 : all.size();
    }

    /** DescribeTopicPartitions answers in pages: here of three partitions each. */
    private static String describeMany(Broker broker) throws Exception {
        List<String> names = List.of(broker.topic("many-a", 4), broker.topic("many-b", 1),
                broker.topic("many-c", 5));
        Map<String, TopicDescription> got = broker.admin.describeTopics(
                TopicCollection.ofTopicNames(names),
                new DescribeTopicsOptions().partitionSizeLimitPerResponse(3)).allTopicNames().get();
        List<String> lines = new ArrayList<>();
        for (String name : names) {
            lines.add(got.get(name).partitions().stream().map(TopicPartitionInfo::partition)
                    .toList().toString());
        }
        return String.join(" ", lines);
    }

    /** Each entry that Kafka has, too: its value, source, type and so on. */
    private static TreeMap<String, String> shown(Config config, boolean isFull) {
        TreeMap<String, String> all = new TreeMap<>();
        for (ConfigEntry entry : config.entries()) {
            if (entry.name().startsWith("ringlog.")) {
                continue;
            }
            String text = entry.value() + " " + entry.source();
            if (isFull) {
                text += " " + entry.type() + (entry.isReadOnly() ? " read-only" : "")
                        + (entry.isSensitive() ? " sensitive" : "")
                        + (entry.documentation() == null ? " undocumented" : "");
                for (ConfigEntry.ConfigSynonym synonym : entry.synonyms()) {
                    text += " < " + synonym.name() + "=" + synonym.value() + " " + synonym.source();
                }
            }
            all.put(entry.name(), text);
        }
        return all;
    }

    private static TreeMap<String, String> described(Broker broker, ConfigResource resource)
            throws Exception {
        DescribeConfigsOptions options = new DescribeConfigsOptions().includeSynonyms(true)
                .includeDocumentation(true);
        return shown(broker.admin.describeConfigs(List.of(resource), options).all().get()
                .get(resource), true);
    }

    private static void alter(Broker broker, ConfigResource resource, AlterConfigOp... changes)
            throws Exception {
        broker.admin.incrementalAlterConfigs(Map.of(resource, List.of(changes))).all().get();
    }

    private static AlterConfigOp change(OpType kind, String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), kind);
    }

    /** What a setting begins with once the broker shows what is wanted. */
    private static String once(Broker broker, ConfigResource resource, String name, String wanted)
            throws Exception {
        return Broker.eventually(wanted, () -> {
            String text = described(broker, resource).getOrDefault(name, "absent");
            return text.startsWith(wanted) ? wanted : text;
        });
    }

    private static String configs(Broker broker) throws Exception {
        String topic = broker.topic(
                "configs", 1, "retention.ms", "7200000", "cleanup.policy", "compact");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        TreeMap<String, String> before = described(broker, resource);
        alter(broker, resource, change(OpType.SET, "retention.ms", "3600000"),
                change(OpType.SET, "compression.type", "gzip"),
                change(OpType.APPEND, "cleanup.policy", "delete"));
        once(broker, resource, "retention.ms", "3600000 ");
        TreeMap<String, String> after = described(broker, resource);
        alter(broker, resource, change(OpType.DELETE, "retention.ms", null),
                change(OpType.SUBTRACT, "cleanup.policy", "compact"));
        once(broker, resource, "retention.ms", "604800000 ");
        TreeMap<String, String> last = described(broker, resource);
        after.entrySet().removeAll(before.entrySet());
        last.entrySet().removeAll(before.entrySet());
        return "before " + before + " after " + after + " last " + last;
    }

    /** Sets a default of the whole cluster and one broker's value, and takes both back. */
    private static String brokerConfigs(Broker broker) throws Exception {
        Node node = broker.admin.describeCluster().nodes().get().iterator().next();
        ConfigResource one = new ConfigResource(ConfigResource.Type.BROKER, node.idString());
        ConfigResource all = new ConfigResource(ConfigResource.Type.BROKER, "");
        String name = "log.retention.ms";
        List<String> lines = new ArrayList<>();
        lines.add(once(broker, one, name, "null DEFAULT_CONFIG "));
        alter(broker, all, change(OpType.SET, name, "500000000"));
        lines.add(once(broker, one, name, "500000000 DYNAMIC_DEFAULT_BROKER_CONFIG "));
        lines.add(once(broker, all, name, "500000000 DYNAMIC_DEFAULT_BROKER_CONFIG "));
        alter(broker, one, change(OpType.SET, name, "600000000"));
        lines.add(once(broker, one, name, "600000000 DYNAMIC_BROKER_CONFIG "));
        alter(broker, one, change(OpType.DELETE, name, null));
        lines.add(once(broker, one, name, "500000000 DYNAMIC_DEFAULT_BROKER_CONFIG "));
        alter(broker, all, change(OpType.DELETE, name, null));
        lines.add(once(broker, one, name, "null DEFAULT_CONFIG "));
        return String.join("; ", lines);
    }

    private static String configResources(Broker broker) throws Exception {
        String topic = broker.topic("config-resources", 1);
        ConfigResource wanted = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        Collection<ConfigResource> all = broker.admin.listConfigResources().all().get();
        Collection<ConfigResource> topics = broker.admin.listConfigResources(
                Set.of(ConfigResource.Type.TOPIC),
                new org.apache.kafka.clients.admin.ListConfigResourcesOptions()).all().get();
        boolean isOnly = topics.stream().allMatch(r -> r.type() == ConfigResource.Type.TOPIC);
        boolean hasBroker = all.stream().anyMatch(r -> r.type() == ConfigResource.Type.BROKER);
        return "topic among all " + all.contains(wanted) + ", a broker " + hasBroker
                + ", topic among topics " + topics.contains(wanted) + ", only topics " + isOnly;
    }

    private static String partitions(Broker broker) throws Exception {
        String topic = broker.topic("partitions", 2);
        broker.admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(7))).all().get();
        String seen = Broker.eventually("7", () -> broker.partitionsShown(topic));
        broker.produce(Records.numbered(topic, 7, 70));
        return seen + " partitions, " + broker.consume(topic, 7, 70).size() + " records";
    }

    private static String offsets(Broker broker) throws Exception {
        TopicPartition place = new TopicPartition(Records.timed(broker, "offsets"), 0);
        broker.admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(7))).all().get();
        Map<String, OffsetSpec> specs = new LinkedHashMap<>();
        specs.put("earliest", OffsetSpec.earliest());
        specs.put("latest", OffsetSpec.latest());
        specs.put("max", OffsetSpec.maxTimestamp());
        specs.put("local", OffsetSpec.earliestLocal());
        specs.put("tiered", OffsetSpec.latestTiered());
        specs.put("pending", OffsetSpec.earliestPendingUpload());
        for (long after : new long[] {0, 42_000, 42_001, 99_000, 99_001}) {
            specs.put("from " + after, OffsetSpec.forTimestamp(Records.TIME_FIRST + after));
        }
        List<String> lines = new ArrayList<>();
        for (IsolationLevel isolation : IsolationLevel.values()) {
            for (Map.Entry<String, OffsetSpec> spec : specs.entrySet()) {
                String text;
                try {
                    ListOffsetsResultInfo got = broker.admin.listOffsets(
                            Map.of(place, spec.getValue()), new ListOffsetsOptions(isolation))
                            .partitionResult(place).get();
                    text = got.offset() + " at " + got.timestamp() + " epoch "
                            + got.leaderEpoch().orElse(-1);
                } catch (java.util.concurrent.ExecutionException failure) {
                    text = Broker.errorName(failure);
                }
                lines.add(spec.getKey() + ": " + text);
            }
        }
        return String.join("; ", lines);
    }

    private static String deleteRecords(Broker broker) throws Exception {
        TopicPartition place = new TopicPartition(Records.timed(broker, "delete-records"), 0);
        List<String> lines = new ArrayList<>();
        for (long before : new long[] {0, 33, 20, -1}) {
            long low = broker.admin.deleteRecords(
                    Map.of(place, RecordsToDelete.beforeOffset(before)))
                    .lowWatermarks().get(place).get().lowWatermark();
            long start = broker.admin.listOffsets(Map.of(place, OffsetSpec.earliest()))
                    .partitionResult(place).get().offset();
            lines.add("before " + before + ": low " + low + ", start " + start);
        }
        return String.join("; ", lines);
    }

    /** One by name, one by id; then the same name again. */
    private static String delete(Broker broker) throws Exception {
        String topic = broker.topic("delete", 3);
        String other = broker.topic("delete-by-id", 1);
        broker.produce(Records.numbered(topic, 3, 30));
        Uuid id = broker.described(other).topicId();
        broker.admin.deleteTopics(List.of(topic)).all().get();
        broker.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        String gone = Broker.eventually("none", () -> broker.partitionsShown(topic))
                + " " + Broker.eventually("none", () -> broker.partitionsShown(other));
        String again = outcome(
                broker.admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        broker.topic("delete", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        long end = broker.admin.listOffsets(Map.of(place, OffsetSpec.latest()))
                .partitionResult(place).get().offset();
        return "partitions left " + gone + ", the id again " + again + ", made again, end " + end;
    }

    private static String cluster(Broker broker) throws Exception {
        DescribeClusterResult got = broker.admin.describeCluster(new DescribeClusterOptions()
                .includeAuthorizedOperations(true).includeFencedBrokers(true));
        Collection<Node> nodes = got.nodes().get();
        boolean isFenced = nodes.stream().anyMatch(Node::isFenced);
        return "id " + !got.clusterId().get().isEmpty()
                + ", controller listed " + nodes.contains(got.controller().get())
                + ", fenced " + isFenced
                + ", authorized " + new TreeSet<>(got.authorizedOperations().get());
    }

    private static String logDirs(Broker broker) throws Exception {
        String topic = broker.topic("log-dirs", 2);
        broker.produce(Records.numbered(topic, 1, 100));
        List<Integer> nodes = broker.admin.describeCluster().nodes().get().stream()
                .map(Node::id).toList();
        TreeSet<String> lines = new TreeSet<>();
        for (Map<String, LogDirDescription> of
                : broker.admin.describeLogDirs(nodes).allDescriptions().get().values()) {
            for (LogDirDescription dir : of.values()) {
                if (dir.error() != null || dir.totalBytes().orElse(0) <= 0
                        || dir.usableBytes().orElse(0) <= 0) {
                    throw new AssertionError("log dir " + dir);
                }
                for (Map.Entry<TopicPartition, ReplicaInfo> held : dir.replicaInfos().entrySet()) {
                    if (held.getKey().topic().equals(topic)) {
                        ReplicaInfo log = held.getValue();
                        lines.add(held.getKey().partition() + ": has bytes " + (log.size() > 0)
                                + ", lag " + log.offsetLag() + ", future " + log.isFuture());
                    }
                }
            }
        }
        return lines.toString();
    }

    private static String producers(Broker broker) throws Exception {
        String topic = broker.topic("producers", 1);
        broker.produce(Records.numbered(topic, 1, 25));
        TopicPartition place = new TopicPartition(topic, 0);
        List<String> lines = new ArrayList<>();
        for (ProducerState state : broker.admin.describeProducers(List.of(place))
                .partitionResult(place).get().activeProducers()) {
            lines.add("epoch " + state.producerEpoch() + ", last sequence " + state.lastSequence()
                    + ", coordinator " + state.coordinatorEpoch()
                    + ", transaction " + state.currentTransactionStartOffset());
        }
        return lines.toString();
    }

    private static String features(Broker broker) throws Exception {
        FeatureMetadata got = broker.admin.describeFeatures().featureMetadata().get();
        Map<String, FeatureUpdate> unknown = Map.of("no.such.feature",
                new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE));
        return "metadata.version " + got.finalizedFeatures().containsKey("metadata.version")
                + ", epoch " + got.finalizedFeaturesEpoch().isPresent()
                + ", unknown feature "
                + outcome(broker.admin.updateFeatures(unknown,
                        new org.apache.kafka.clients.admin.UpdateFeaturesOptions()).all());
    }

    private static String quorum(Broker broker) throws Exception {
        QuorumInfo got = broker.admin.describeMetadataQuorum().quorumInfo().get();
        boolean isLed = got.voters().stream().anyMatch(v -> v.replicaId() == got.leaderId());
        return "voters " + got.voters().size() + ", observers " + got.observers().size()
                + ", the leader votes " + isLed + ", epoch " + (got.leaderEpoch() > 0)
                + ", high watermark " + (got.highWatermark() > 0);
    }

    private static String electLeaders(Broker broker) throws Exception {
        String topic = broker.topic("elect-leaders", 1);
        List<String> lines = new ArrayList<>();
        for (ElectionType kind : ElectionType.values()) {
            Map<TopicPartition, Optional<Throwable>> got = broker.admin.electLeaders(
                    kind, Set.copyOf(Broker.partitionsOf(topic, 2))).partitions().get();
            for (TopicPartition place : Broker.partitionsOf(topic, 2)) {
                lines.add(kind + " " + place.partition() + ": "
                        + got.get(place).map(Broker::errorName).orElse("NONE"));
            }
        }
        // Of all partitions only those are listed that need one: none, on one node.
        lines.add("all: " + broker.admin.electLeaders(ElectionType.PREFERRED, null)
                .partitions().get().size());
        return String.join("; ", lines);
    }

    private static String reassignments(Broker broker) throws Exception {
        String topic = broker.topic("reassignments", 1);
        TopicPartition place = new TopicPartition(topic, 0);
        int listed = broker.admin.listPartitionReassignments().reassignments().get().size();
        List<Integer> replicas = broker.described(topic).partitions().get(0).replicas().stream()
                .map(Node::id).toList();
        Map<String, Optional<NewPartitionReassignment>> tries = new LinkedHashMap<>();
        tries.put("cancel", Optional.empty());
        tries.put("same", Optional.of(new NewPartitionReassignment(replicas)));
        tries.put("unknown broker", Optional.of(new NewPartitionReassignment(List.of(4040))));
        List<String> lines = new ArrayList<>(List.of("listed " + listed));
        for (Map.Entry<String, Optional<NewPartitionReassignment>> one : tries.entrySet()) {
            lines.add(one.getKey() + ": " + outcome(broker.admin.alterPartitionReassignments(
                    Map.of(place, one.getValue())).all()));
        }
        return String.join("; ", lines);
    }

    private Admins() {}
}
