import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Kafka's command line classes for groups and transactions. */
final class GroupsCli {
    private static final String GROUPS = KafkaCli.TOOLS + "consumer.group.ConsumerGroupCommand";
    private static final String TRANSACTIONS = KafkaCli.TOOLS + "TransactionsCommand";
    private static final int RECORDS = 20;

    private final KafkaCli cli;
    private final String topic;
    private final String group;

    GroupsCli(KafkaCli cli) {
        this.cli = cli;
        this.topic = cli.prefix + "-grouped";
        this.group = cli.prefix + "-group";
    }

    void play() throws Exception {
        read();
        for (String protocol : List.of("classic", "consumer")) {
            withMember(protocol);
        }
        reset();
        delete();
        transactions();
    }

    private Properties settings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", cli.bootstrap);
        settings.put("enable.metrics.push", "false");
        return settings;
    }

    private void read() {
        cli.check("kafka-topics/create-for-groups", 0, KafkaCli::text, "",
                KafkaCli.TOOLS + "TopicCommand", "--create", "--topic", topic, "--partitions", "2");
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < RECORDS; i++) {
            lines.append("key").append(i).append("\tvalue ").append(i).append("\n");
        }
        cli.check("kafka-console-producer/for-groups", 0, KafkaCli::text, lines.toString(),
                KafkaCli.TOOLS + "ConsoleProducer", "--topic", topic,
                "--reader-property", "parse.key=true");
        cli.check("kafka-console-consumer/group", 0, GroupsCli::lines, "",
                KafkaCli.TOOLS + "consumer.ConsoleConsumer", "--topic", topic, "--group", group,
                "--from-beginning", "--max-messages", String.valueOf(RECORDS),
                "--timeout-ms", "15000");
        cli.check("kafka-consumer-perf-test/group", 0, GroupsCli::performance, "",
                KafkaCli.TOOLS + "ConsumerPerformance", "--topic", topic, "--group", group + "-perf",
                "--num-records", String.valueOf(RECORDS), "--timeout", "15000");
        groups("describe", 0, GroupsCli::table, "--describe", "--group", group);
        groups("describe-members-none", 0, GroupsCli::table, "--describe", "--members",
                "--group", group);
        groups("describe-state", 0, GroupsCli::state, "--describe", "--state", "--group", group);
        groups("list", 0, this::listed, "--list");
        groups("list-state", 0, this::listed, "--list", "--state");
        cli.check("kafka-groups/list", 0, this::listed, "", KafkaCli.TOOLS + "GroupsCommand",
                "--list");
    }

    /** What the tools say of a group with a member, and what they must not do to it. */
    private void withMember(String protocol) throws Exception {
        Properties settings = settings();
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        settings.put("client.id", "member");
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
                settings, new StringDeserializer(), new StringDeserializer());
        consumer.subscribe(List.of(topic));
        Thread member = new Thread(() -> {
            try (consumer) {
                while (true) {
                    consumer.poll(Duration.ofMillis(100));
                }
            } catch (WakeupException over) {
                // It leaves.
            }
        });
        member.setDaemon(true);
        member.start();
        String of = "-" + protocol;
        cli.await("Stable");
        groups("describe-state" + of, 0, GroupsCli::state, "--describe", "--state",
                "--group", group);
        groups("describe" + of, 0, GroupsCli::table, "--describe", "--group", group);
        groups("describe-members" + of, 0, GroupsCli::table, "--describe", "--members",
                "--verbose", "--group", group);
        groups("reset-offsets" + of, 0, KafkaCli::failure, "--reset-offsets", "--to-earliest",
                "--execute", "--topic", topic, "--group", group);
        groups("delete-offsets" + of, 0, KafkaCli::failure, "--delete-offsets", "--topic", topic,
                "--group", group);
        groups("delete" + of, 0, KafkaCli::failure, "--delete", "--group", group);
        groups("list-type" + of, 0, this::listed, "--list", "--type", protocol);
        consumer.wakeup();
        member.join();
    }

    private void reset() {
        String[] command = {"--reset-offsets", "--topic", topic, "--group", group};
        groups("reset-to-earliest-dry-run", 0, GroupsCli::table,
                KafkaCli.with(command, "--to-earliest", "--dry-run"));
        groups("describe-as-before", 0, GroupsCli::table, "--describe", "--group", group);
        groups("reset-to-earliest", 0, GroupsCli::table,
                KafkaCli.with(command, "--to-earliest", "--execute"));
        groups("reset-shift-by", 0, GroupsCli::table,
                KafkaCli.with(command, "--shift-by", "3", "--execute"));
        groups("reset-export", 0, KafkaCli::text,
                KafkaCli.with(command, "--to-current", "--export"));
        groups("describe-reset", 0, GroupsCli::table, "--describe", "--group", group);
        cli.check("kafka-console-consumer/after-reset", 0, GroupsCli::lines, "",
                KafkaCli.TOOLS + "consumer.ConsoleConsumer", "--topic", topic, "--group", group,
                "--max-messages", String.valueOf(RECORDS - 6), "--timeout-ms", "15000");
        groups("reset-to-datetime", 0, GroupsCli::table,
                KafkaCli.with(command, "--to-datetime", "2020-01-01T00:00:00.000", "--execute"));
        groups("reset-to-latest", 0, GroupsCli::table,
                KafkaCli.with(command, "--to-latest", "--execute"));
        groups("reset-new-group", 0, GroupsCli::table, "--reset-offsets", "--to-offset", "1",
                "--execute", "--topic", topic + ":0", "--group", group + "-new");
    }

    private void delete() {
        groups("delete-offsets", 0, KafkaCli::text, "--delete-offsets", "--topic", topic + ":1",
                "--group", group);
        groups("describe-less", 0, GroupsCli::table, "--describe", "--group", group);
        groups("delete", 0, KafkaCli::text, "--delete", "--group", group);
        groups("list-deleted", 0, this::listed, "--list");
        groups("delete-unknown", 0, KafkaCli::failure, "--delete", "--group", group);
        groups("describe-unknown", 0, KafkaCli::failure, "--describe", "--group", group);
    }

    private void transactions() throws Exception {
        String name = cli.prefix + "-transaction";
        Properties settings = settings();
        settings.put("transactional.id", name);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(
                settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, null, "open")).get();
            cli.check("kafka-transactions/list", 0, GroupsCli::transactionList, "",
                    TRANSACTIONS, "list", "--transactional-id-pattern", name);
            cli.check("kafka-transactions/describe", 0, GroupsCli::transaction, "",
                    TRANSACTIONS, "describe", "--transactional-id", name);
            cli.check("kafka-transactions/describe-unknown", 1, KafkaCli::failure, "",
                    TRANSACTIONS, "describe", "--transactional-id", name + "-never-made");
            cli.check("kafka-transactions/find-hanging", 0, KafkaCli::columns, "",
                    TRANSACTIONS, "find-hanging", "--broker-id", cli.leader());
            cli.check("kafka-transactions/describe-producers-open", 0, KafkaCli::columns, "",
                    TRANSACTIONS, "describe-producers", "--topic", topic, "--partition", "0");
            // Producers stand in the order of their ids, and those without a transaction say None.
            String start = cli.found("(?m)(\\d+)[ \\t]*$");
            cli.check("kafka-transactions/abort", 0, KafkaCli::text, "", TRANSACTIONS, "abort",
                    "--topic", topic, "--partition", "0", "--start-offset", start);
            cli.check("kafka-transactions/forceTerminateTransaction", 0, KafkaCli::text, "",
                    TRANSACTIONS, "forceTerminateTransaction", "--transactionalId", name);
            cli.await("CompleteAbort");
            cli.check("kafka-transactions/describe-ended", 0, GroupsCli::transaction, "",
                    TRANSACTIONS, "describe", "--transactional-id", name);
            producer.close(Duration.ZERO);
        }
    }

    private void groups(String name, int status,
            java.util.function.Function<String, String> normal, String... arguments) {
        String[] command = KafkaCli.with(new String[] {GROUPS}, arguments);
        cli.check("kafka-consumer-groups/" + name, status, normal, "", command);
    }

    private static String lines(String text) {
        return new TreeSet<>(text.lines().map(String::strip).toList()).toString();
    }

    /** A table in the order of its lines, without ids of members and addresses. */
    private static String table(String text) {
        TreeSet<String> rows = new TreeSet<>(text.lines().map(String::strip)
                .filter(line -> !line.isEmpty())
                .map(line -> line.replaceAll("\\s+", " ")
                        .replaceAll("(member-)?[0-9a-f-]{36}|[A-Za-z0-9_-]{22}(?= /)", "ID")
                        .replaceAll("/[0-9.]+", "HOST")).toList());
        return rows.toString();
    }

    private static String state(String text) {
        return table(text).replaceAll("\\S+:\\d+ \\(\\d+\\)|HOST:PORT \\(\\d+\\)", "COORDINATOR");
    }

    private String listed(String text) {
        return text.lines().map(String::strip).map(line -> line.replaceAll("\\s+", " "))
                .filter(line -> line.startsWith("P-group") || line.startsWith("GROUP"))
                .sorted().toList().toString();
    }

    /** How many records were read. */
    private static String performance(String text) {
        String[] last = text.lines().reduce("", (before, line) -> line).split(", ");
        return last.length > 4 ? last[4] + " records" : text;
    }

    private static String transactionList(String text) {
        return text.lines().map(line -> line.strip().replaceAll("\\s+", " "))
                .map(line -> line.replaceAll(" \\d+", " N")).toList().toString();
    }

    /** Without ids and times. */
    private static String transaction(String text) {
        return transactionList(text).replaceAll("\\d+ P-", "N P-").replaceAll("\\d{4}-\\d\\d-\\S+", "TIME");
    }
}
