import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's own command line classes check a broker, all in one JVM.
 *
 * <pre>
 * build: javac -cp "$KAFKA_LIBS/*" -d OUTPUT *.java                (a JDK of 17 or later)
 * start: java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "OUTPUT:$KAFKA_LIBS/*" KafkaCli \
 *          --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
 * </pre>
 *
 * KAFKA_LIBS is the folder of Kafka's jars, with kafka-tools and kafka_2.13 among them. Each tool is
 * called through its `main`, with its exits caught and its output kept. Every line of output is one
 * check: {"check","result","detail","answer"}. The answer is the tool's exit status and what it
 * printed, without what differs from one broker or run to another. A check uses what those before it
 * made, so that all are always run; `--only` says which of them are shown. The exit status is 0
 * whenever the program came to its end.
 */
public final class KafkaCli {
    private static final int AWAITED_TRIES_MAX = 20;
    static final String TOOLS = "org.apache.kafka.tools.";

    /** Ends a tool that exits. */
    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    /** Goes where it is told at the moment: Scala keeps the stream that it finds first. */
    private static final class Switch extends OutputStream {
        volatile OutputStream to;

        @Override
        public void write(int b) throws IOException {
            to.write(b);
        }

        @Override
        public void write(byte[] bytes, int from, int count) throws IOException {
            to.write(bytes, from, count);
        }
    }

    private final PrintStream output = new PrintStream(
            new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
    private final Switch out = new Switch();
    final String bootstrap;
    final String prefix;
    private final List<String> chosen;
    private String said = "";
    private String leader = "none";
    private String awaited = "";
    /** The first exit of a tool, and how much it had said; some catch what we throw, and go on. */
    private Integer exited;
    private int saidBefore;
    private ByteArrayOutputStream kept = new ByteArrayOutputStream();

    private KafkaCli(String bootstrap, String prefix, List<String> chosen) {
        this.bootstrap = bootstrap;
        this.prefix = prefix;
        this.chosen = chosen;
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        String bootstrap = "127.0.0.1:9092";
        String prefix = "kafka-cli";
        List<String> chosen = List.of();
        for (int i = 0; i + 1 < arguments.length; i += 2) {
            String value = arguments[i + 1];
            switch (arguments[i]) {
                case "--bootstrap" -> bootstrap = value;
                case "--prefix" -> prefix = value;
                case "--only" -> chosen = value.isEmpty() ? List.of() : List.of(value.split(","));
                default -> throw new IllegalArgumentException(arguments[i]);
            }
        }
        KafkaCli cli = new KafkaCli(bootstrap, prefix, chosen);
        PrintStream both = new PrintStream(cli.out, true, StandardCharsets.UTF_8);
        cli.out.to = OutputStream.nullOutputStream();
        System.setOut(both);
        System.setErr(both);
        Exit.setExitProcedure((status, message) -> {
            cli.exit(status);
        });
        Exit.setShutdownHookAdder((name, hook) -> { });
        cli.topics();
        cli.configs();
        cli.records();
        cli.cluster();
        new GroupsCli(cli).play();
        // What tools have left running ends here.
        Runtime.getRuntime().halt(0);
    }

    private void exit(int status) {
        System.out.flush();
        if (exited == null) {
            exited = status;
            saidBefore = kept.size();
        }
        throw new Exited();
    }

    String leader() {
        return leader;
    }

    private void topics() {
        String topic = prefix + "-topic";
        String name = TOOLS + "TopicCommand";
        check("kafka-topics/create", 0, KafkaCli::text, "", name, "--create", "--topic", topic,
                "--partitions", "3", "--replication-factor", "1",
                "--config", "retention.ms=7200000");
        check("kafka-topics/create-again", 1, KafkaCli::failure, "", name,
                "--create", "--topic", topic);
        check("kafka-topics/create-if-not-exists", 0, KafkaCli::text, "", name,
                "--create", "--topic", topic, "--if-not-exists");
        check("kafka-topics/create-invalid", 1, KafkaCli::failure, "", name,
                "--create", "--topic", prefix + "/bad");
        check("kafka-topics/create-bad-config", 1, KafkaCli::failure, "", name,
                "--create", "--topic", topic + "-bad", "--config", "retention.ms=-2");
        await(prefix + "-topic");
        check("kafka-topics/list", 0, text -> text.lines().filter("P-topic"::equals).toList()
                .toString(), "", name, "--list");
        check("kafka-topics/alter", 0, KafkaCli::text, "", name,
                "--alter", "--topic", topic, "--partitions", "5");
        check("kafka-topics/alter-fewer", 1, KafkaCli::failure, "", name,
                "--alter", "--topic", topic, "--partitions", "2");
        await("PartitionCount: 5");
        check("kafka-topics/describe", 0, KafkaCli::description, "", name,
                "--describe", "--topic", topic);
        check("kafka-topics/describe-in-pages", 0, KafkaCli::description, "", name,
                "--describe", "--topic", topic, "--partition-size-limit-per-response", "2");
        check("kafka-topics/describe-id", 0, KafkaCli::description, "", name,
                "--describe", "--topic-id", found("TopicId: (\\S+)"));
        leader = found("Partition: 0\\s+Leader: (\\d+)");
        check("kafka-topics/describe-overrides", 0, KafkaCli::description, "", name,
                "--describe", "--topics-with-overrides", "--topic", topic);
        check("kafka-topics/describe-unavailable", 0, KafkaCli::description, "", name,
                "--describe", "--unavailable-partitions", "--topic", topic);
        check("kafka-topics/describe-under-replicated", 0, KafkaCli::description, "", name,
                "--describe", "--under-replicated-partitions", "--topic", topic);
        check("kafka-topics/describe-unknown", 1, KafkaCli::failure, "", name,
                "--describe", "--topic", prefix + "-never-made");
        check("kafka-topics/create-to-delete", 0, KafkaCli::text, "", name,
                "--create", "--topic", prefix + "-gone", "--partitions", "2");
        check("kafka-topics/delete", 0, KafkaCli::text, "", name,
                "--delete", "--topic", prefix + "-gone");
        check("kafka-topics/delete-unknown", 1, KafkaCli::failure, "", name,
                "--delete", "--topic", prefix + "-never-made");
    }

    private void configs() {
        String topic = prefix + "-topic";
        String name = "kafka.admin.ConfigCommand";
        check("kafka-configs/describe", 0, KafkaCli::text, "", name, "--describe", "--topic", topic);
        check("kafka-configs/alter", 0, KafkaCli::text, "", name, "--alter", "--topic", topic,
                "--add-config", "compression.type=lz4,cleanup.policy=[compact,delete]",
                "--delete-config", "retention.ms");
        await("compression.type=lz4");
        check("kafka-configs/describe-altered", 0, KafkaCli::text, "", name,
                "--describe", "--topic", topic);
        check("kafka-configs/describe-all", 0, KafkaCli::sorted, "", name,
                "--describe", "--all", "--topic", topic);
        check("kafka-configs/alter-unknown", 1, KafkaCli::failure, "", name,
                "--alter", "--topic", topic, "--add-config", "no.such.setting=1");
        check("kafka-configs/alter-invalid", 1, KafkaCli::failure, "", name,
                "--alter", "--topic", topic, "--add-config", "segment.bytes=1");
        check("kafka-configs/delete", 0, KafkaCli::text, "", name, "--alter", "--topic", topic,
                "--delete-config", "compression.type,cleanup.policy");
        check("kafka-configs/broker-defaults-alter", 0, KafkaCli::text, "", name, "--alter",
                "--broker-defaults", "--add-config", "log.retention.ms=500000000");
        await("log.retention.ms=500000000");
        check("kafka-configs/broker-defaults-describe", 0, KafkaCli::retention, "", name,
                "--describe", "--broker-defaults");
        check("kafka-configs/broker-alter", 0, KafkaCli::unnumbered, "", name, "--alter",
                "--broker", leader, "--add-config", "log.retention.ms=600000000");
        await("log.retention.ms=600000000");
        check("kafka-configs/broker-describe", 0, KafkaCli::retention, "", name,
                "--describe", "--broker", leader);
        check("kafka-configs/broker-delete", 0, KafkaCli::unnumbered, "", name, "--alter",
                "--broker", leader, "--delete-config", "log.retention.ms");
        check("kafka-configs/broker-defaults-delete", 0, KafkaCli::text, "", name, "--alter",
                "--broker-defaults", "--delete-config", "log.retention.ms");
        check("kafka-configs/broker-read-only", 1, KafkaCli::failure, "", name, "--alter",
                "--broker", leader, "--add-config", "node.id=7");
        check("kafka-client-metrics/list", 0, KafkaCli::text, "", TOOLS + "ClientMetricsCommand",
                "--list");
    }

    private void records() {
        String topic = prefix + "-records";
        check("kafka-topics/create-for-records", 0, KafkaCli::text, "", TOOLS + "TopicCommand",
                "--create", "--topic", topic, "--partitions", "1");
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 20; i++) {
            lines.append("h").append(i).append(":v").append(i).append("\tkey").append(i)
                    .append("\tvalue ").append(i).append("\n");
        }
        check("kafka-console-producer/send", 0, KafkaCli::text, lines.toString(),
                TOOLS + "ConsoleProducer", "--topic", topic, "--reader-property", "parse.key=true",
                "--reader-property", "parse.headers=true", "--compression-codec", "zstd");
        String[] reader = {TOOLS + "consumer.ConsoleConsumer", "--topic", topic, "--partition", "0",
            "--timeout-ms", "10000", "--formatter-property", "print.key=true",
            "--formatter-property", "print.headers=true",
            "--formatter-property", "print.offset=true"};
        check("kafka-console-consumer/earliest", 0, KafkaCli::text, "",
                with(reader, "--offset", "earliest", "--max-messages", "20"));
        check("kafka-console-consumer/offset", 0, KafkaCli::text, "",
                with(reader, "--offset", "15", "--max-messages", "3"));
        check("kafka-producer-perf-test/send", 0, KafkaCli::sent, "", TOOLS + "ProducerPerformance",
                "--bootstrap-server", bootstrap, "--topic", topic, "--num-records", "10000",
                "--record-size", "100", "--throughput", "-1",
                "--command-property", "acks=all");
        String offsets = TOOLS + "GetOffsetShell";
        for (String time : List.of("earliest", "latest", "max-timestamp", "earliest-local",
                "latest-tiered", "0", "9999999999999")) {
            boolean isMoving = time.equals("max-timestamp");
            check("kafka-get-offsets/" + time, 0, isMoving ? KafkaCli::numbered : KafkaCli::text,
                    "", offsets, "--topic-partitions", topic + ":0", "--time", time);
        }
        check("kafka-get-offsets/topic", 0, KafkaCli::sorted, "", offsets,
                "--topic", prefix + "-topic");
        check("kafka-get-offsets/unknown", 1, KafkaCli::failure, "", offsets,
                "--topic", prefix + "-never-made");
        String file = file("{\"version\":1,\"partitions\":[{\"topic\":\"" + topic
                + "\",\"partition\":0,\"offset\":7}]}");
        check("kafka-delete-records/before-7", 0, KafkaCli::text, "",
                TOOLS + "DeleteRecordsCommand", "--offset-json-file", file);
        check("kafka-get-offsets/after-delete-records", 0, KafkaCli::text, "", offsets,
                "--topic-partitions", topic + ":0", "--time", "earliest");
        String beyond = file("{\"version\":1,\"partitions\":[{\"topic\":\"" + topic
                + "\",\"partition\":0,\"offset\":99999}]}");
        check("kafka-delete-records/beyond", 0, KafkaCli::failure, "",
                TOOLS + "DeleteRecordsCommand", "--offset-json-file", beyond);
        check("kafka-transactions/describe-producers", 0, KafkaCli::columns, "",
                TOOLS + "TransactionsCommand", "describe-producers", "--topic", topic,
                "--partition", "0");
        check("kafka-log-dirs/describe", 0, KafkaCli::logDirs, "", TOOLS + "LogDirsCommand",
                "--describe", "--topic-list", topic);
    }

    private void cluster() {
        String topic = prefix + "-topic";
        check("kafka-broker-api-versions/list", 0, KafkaCli::versions, "",
                TOOLS + "BrokerApiVersionsCommand");
        check("kafka-cluster/cluster-id", 0, text -> text.replaceAll("ID: \\S+", "ID: ID"), "",
                TOOLS + "ClusterTool", "cluster-id", "--bootstrap-server", bootstrap);
        check("kafka-cluster/list-endpoints", 0, KafkaCli::columns, "",
                TOOLS + "ClusterTool", "list-endpoints", "--bootstrap-server", bootstrap);
        String quorum = TOOLS + "MetadataQuorumCommand";
        check("kafka-metadata-quorum/status", 0, KafkaCli::fields, "", quorum,
                "--bootstrap-server", bootstrap, "describe", "--status");
        check("kafka-metadata-quorum/replication", 0, KafkaCli::columns, "", quorum,
                "--bootstrap-server", bootstrap, "describe", "--replication");
        String features = TOOLS + "FeatureCommand";
        check("kafka-features/describe", 0, KafkaCli::features, "", features,
                "--bootstrap-server", bootstrap, "describe");
        check("kafka-features/upgrade-unknown", 1, KafkaCli::failure, "", features,
                "--bootstrap-server", bootstrap, "upgrade", "--feature", "no.such.feature=1");
        String election = TOOLS + "LeaderElectionCommand";
        check("kafka-leader-election/preferred", 0, KafkaCli::text, "", election,
                "--election-type", "PREFERRED", "--topic", topic, "--partition", "0");
        check("kafka-leader-election/unclean", 0, KafkaCli::text, "", election,
                "--election-type", "UNCLEAN", "--topic", topic, "--partition", "0");
        check("kafka-leader-election/all", 0, KafkaCli::text, "", election,
                "--election-type", "PREFERRED", "--all-topic-partitions");
        check("kafka-leader-election/unknown", 1, KafkaCli::failure, "", election,
                "--election-type", "PREFERRED", "--topic", topic, "--partition", "77");
        String reassign = TOOLS + "reassign.ReassignPartitionsCommand";
        check("kafka-reassign-partitions/list", 0, KafkaCli::text, "", reassign, "--list");
        String same = file("{\"version\":1,\"partitions\":[{\"topic\":\"" + topic
                + "\",\"partition\":0,\"replicas\":[" + leader + "]}]}");
        check("kafka-reassign-partitions/execute", 0, KafkaCli::withoutJson, "", reassign,
                "--execute", "--reassignment-json-file", same);
        check("kafka-reassign-partitions/verify", 0, KafkaCli::withoutJson, "", reassign,
                "--verify", "--reassignment-json-file", same);
        check("kafka-reassign-partitions/cancel", 0, KafkaCli::withoutJson, "", reassign,
                "--cancel", "--reassignment-json-file", same);
        check("kafka-topics/delete-all", 0, KafkaCli::text, "", TOOLS + "TopicCommand",
                "--delete", "--topic", prefix + "-(topic|records)");
    }

    /**
     * The next check asks again until it sees this: a broker may take a moment to show what its
     * controller has done.
     */
    void await(String text) {
        awaited = text;
    }

    /** Calls a tool; it passes when it exits as it should and says something that can be read. */
    void check(
            String name, int status, Function<String, String> normal, String input,
            String... command) {
        long began = System.nanoTime();
        String result = "pass";
        String detail;
        String answer = "";
        int exit = call(input, command);
        for (int i = 0; i < AWAITED_TRIES_MAX && !said.contains(awaited); i++) {
            exit = call(input, command);
        }
        awaited = "";
        try {
            answer = ("exit " + exit + ": "
                    + normal.apply(said.replace(prefix, "P").replace(bootstrap, "HOST:PORT")
                            .replace("\r", "").strip())).strip();
            detail = (System.nanoTime() - began) / 1_000_000 + " ms";
        } catch (RuntimeException failure) {
            exit = -1;
            detail = "";
        }
        if (exit != status) {
            result = "fail";
            detail = "exit " + exit + " where " + status + " was expected: " + said.strip();
        }
        String full = "cli/" + name;
        if (chosen.isEmpty() || chosen.contains(full)) {
            output.printf("{\"check\":%s,\"result\":%s,\"detail\":%s,\"answer\":%s}%n",
                    quoted(full), quoted(result), quoted(detail), quoted(answer));
        }
    }

    private int call(String input, String... command) {
        List<String> arguments = new ArrayList<>(Arrays.asList(command).subList(1, command.length));
        if (!arguments.contains("--bootstrap-server")) {
            arguments.addAll(0, List.of("--bootstrap-server", bootstrap));
        }
        InputStream before = System.in;
        kept = new ByteArrayOutputStream();
        exited = null;
        out.to = kept;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        int exit = 0;
        try {
            Class.forName(command[0]).getMethod("main", String[].class)
                    .invoke(null, (Object) arguments.toArray(new String[0]));
        } catch (InvocationTargetException failure) {
            if (exited == null) {
                failure.getCause().printStackTrace();
                exit = 1;
            }
        } catch (ReflectiveOperationException failure) {
            failure.printStackTrace();
            exit = 1;
        } finally {
            System.out.flush();
            out.to = OutputStream.nullOutputStream();
            System.setIn(before);
        }
        said = kept.toString(StandardCharsets.UTF_8);
        if (exited == null) {
            return exit;
        }
        said = new String(kept.toByteArray(), 0, saidBefore, StandardCharsets.UTF_8);
        return exited;
    }

    static String[] with(String[] command, String... more) {
        String[] all = Arrays.copyOf(command, command.length + more.length);
        System.arraycopy(more, 0, all, command.length, more.length);
        return all;
    }

    /** What the last tool said in this place. */
    String found(String pattern) {
        Matcher matcher = Pattern.compile(pattern).matcher(said);
        return matcher.find() ? matcher.group(1) : "none";
    }

    private static String file(String text) {
        try {
            Path path = Files.createTempFile("kafka-cli", ".json");
            path.toFile().deleteOnExit();
            return Files.writeString(path, text).toString();
        } catch (IOException failure) {
            throw new IllegalStateException(failure);
        }
    }

    static String text(String text) {
        return text.replaceAll("\\s*\n\\s*", " | ");
    }

    /** Lines in their order; without those of settings that only Ringlog has. */
    static String sorted(String text) {
        return String.join(" | ", new TreeSet<>(text.lines().map(String::strip)
                .filter(line -> !line.startsWith("ringlog.")).toList()));
    }

    private static String numbered(String text) {
        return text(text).replaceAll("[0-9]+$", "NUMBER");
    }

    /** Which exceptions were named; texts of brokers differ. */
    static String failure(String text) {
        TreeSet<String> names = new TreeSet<>();
        Matcher matcher = Pattern.compile("[A-Za-z.]*Exception").matcher(text);
        while (matcher.find()) {
            names.add(matcher.group().replaceAll(".*\\.", ""));
        }
        names.removeAll(List.of("ExecutionException", "CompletionException"));
        return names.isEmpty() ? text(text) : names.toString();
    }

    /**
     * Topics, without the two settings that brokers here show as set for all of them: before or
     * behind the topic's own.
     */
    private static String description(String text) {
        return text(text).replaceAll("TopicId: \\S+", "TopicId: ID")
                .replaceAll("(Leader|Replicas|Isr): \\d+\\b", "$1: N").replaceAll("\\s+", " ")
                .replaceAll("(segment\\.bytes|min\\.insync\\.replicas)=\\d+,?", "")
                .replaceAll(",(?= ?\\||$)", "")
                .replaceAll(" Configs: ?(?=\\||$)", "");
    }

    /** Without the broker's id. */
    private static String unnumbered(String text) {
        return text(text).replaceAll("broker \\d+", "broker N");
    }

    private static String retention(String text) {
        return text.lines().map(String::strip).filter(line -> line.contains("log.retention.ms"))
                .toList().toString();
    }

    private static String sent(String text) {
        Matcher matcher = Pattern.compile("(\\d+ records sent), [^\n]*99.9th").matcher(text);
        return matcher.find() && !text.contains("Exception") ? matcher.group(1) : text(text);
    }

    /** A table's head, and how many columns each line has. */
    static String columns(String text) {
        TreeSet<String> rows = new TreeSet<>();
        List<String> lines = text.lines().toList();
        for (String line : lines.subList(Math.min(1, lines.size()), lines.size())) {
            rows.add(line.strip().split("\\s+").length + " columns");
        }
        return lines.isEmpty() ? "nothing"
                : lines.get(0).strip().replaceAll("\\s+", " ") + " | " + String.join(" ", rows);
    }

    /** The names of what is told as `name: value`. */
    private static String fields(String text) {
        return text.lines().map(line -> line.replaceAll(":.*", "")).toList().toString();
    }

    private static String features(String text) {
        return text.lines().filter(line -> line.contains("metadata.version"))
                .map(line -> line.replaceAll("Epoch: \\d+", "Epoch: N").replaceAll("\\s+", " "))
                .toList().toString();
    }

    private static String logDirs(String text) {
        TreeSet<String> logs = new TreeSet<>();
        Matcher matcher = Pattern.compile("\\{[^{}]*\"partition\":[^{}]*\\}").matcher(text);
        while (matcher.find()) {
            logs.add(matcher.group().replaceAll("\"size\":[1-9][0-9]*", "\"size\":N"));
        }
        return logs.toString();
    }

    private static String withoutJson(String text) {
        return text(String.join("\n", text.lines().filter(line -> !line.contains("{")).toList()))
                .replaceAll("brokers? [0-9,]+", "broker N").replace(".Clear", ". | Clear");
    }

    /** What is there beside groups, transactions and what brokers ask of each other. */
    private static final List<String> SINGLE_NODE = List.of("Produce", "Fetch", "ListOffsets",
            "Metadata", "ApiVersions", "CreateTopics", "DeleteTopics", "DeleteRecords",
            "InitProducerId", "OffsetForLeaderEpoch", "DescribeConfigs", "AlterConfigs",
            "DescribeLogDirs", "CreatePartitions", "ElectLeaders", "IncrementalAlterConfigs",
            "AlterPartitionReassignments", "ListPartitionReassignments", "DescribeCluster",
            "DescribeProducers", "ListConfigResources", "DescribeTopicPartitions",
            "DescribeQuorum", "UpdateFeatures");

    private static String versions(String text) {
        TreeSet<String> all = new TreeSet<>();
        Matcher matcher = Pattern.compile("(\\w+)\\(\\d+\\): ([^\\[\n]*)\\[").matcher(text);
        while (matcher.find()) {
            if (SINGLE_NODE.contains(matcher.group(1))) {
                all.add(matcher.group(1) + " " + matcher.group(2).strip());
            }
        }
        return all.toString();
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            switch (c) {
                case '"' -> quoted.append("\\\"");
                case '\\' -> quoted.append("\\\\");
                default -> quoted.append(
                        c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
            }
        }
        return quoted.append('"').toString();
    }
}
