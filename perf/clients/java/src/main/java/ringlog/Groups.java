package ringlog;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;

/** Checks of consumer groups, classic and of the new protocol, and of what Admin does with them. */
final class Groups {
    private static final String[] EAGER = Flow.classic("RangeAssignor");
    private static final String[] UNIFORM = Flow.consumer("uniform");

    static List<Main.Check> checks() {
        String[] cooperative = Flow.classic("CooperativeStickyAssignor");
        return List.of(
                new Main.Check("groups/eager", broker -> rebalances(broker, "eager", EAGER)),
                new Main.Check("groups/cooperative",
                        broker -> rebalances(broker, "cooperative", cooperative)),
                new Main.Check("groups/static", Groups::fixed),
                new Main.Check("groups/consumer",
                        broker -> rebalances(broker, "consumer", UNIFORM)),
                new Main.Check("groups/consumer-range",
                        broker -> rebalances(broker, "consumer-range", Flow.consumer("range"))),
                new Main.Check("groups/consumer-static", Groups::fixedConsumer),
                new Main.Check("groups/migration", Groups::migration),
                new Main.Check("groups/pattern", Groups::pattern),
                new Main.Check("groups/admin", broker -> admin(broker, "admin", EAGER)),
                new Main.Check("groups/admin-consumer",
                        broker -> admin(broker, "admin-consumer", UNIFORM)));
    }

    private static String rebalances(Broker broker, String name, String[] settings)
            throws Exception {
        try (Flow flow = new Flow(broker, "groups-" + name, 1)) {
            Flow.Member one = flow.join("one", settings);
            flow.join("two", settings);
            flow.untilShared(3, 3);
            flow.join("three", settings);
            flow.untilShared(2, 2, 2);
            one.leave();
            flow.untilShared(3, 3);
            flow.finish();
            flow.fresh(settings);
            return "3 3, 2 2 2, 3 3: all taken, one owner each, committed; "
                    + "a fresh one: the new only";
        }
    }

    private static String fixed(Broker broker) throws Exception {
        try (Flow flow = new Flow(broker, "groups-static", 1)) {
            String answer = restarted(flow, EAGER);
            Flow.Member two = flow.join("two", named(EAGER, 2));
            flow.untilShared(3, 3);
            flow.forsake(two);
            flow.join("late", named(EAGER, 2));
            flow.until("the older is fenced", true, () -> two.failure() != null);
            flow.untilShared(3, 3);
            flow.finish();
            return answer + ", fenced: " + Broker.errorName(two.failure());
        }
    }

    /** In the new protocol a name that is taken is refused to who comes later. */
    private static String fixedConsumer(Broker broker) throws Exception {
        try (Flow flow = new Flow(broker, "groups-consumer-static", 1)) {
            String answer = restarted(flow, UNIFORM);
            flow.join("two", named(UNIFORM, 2));
            flow.untilShared(3, 3);
            Flow.Member late = flow.join("late", named(UNIFORM, 2));
            flow.forsake(late);
            flow.until("the later is refused", true, () -> late.failure() != null);
            flow.finish();
            return answer + ", refused: " + Broker.errorName(late.failure());
        }
    }

    private static String[] named(String[] settings, int number) {
        return Flow.with(settings, "group.instance.id", "instance-" + number);
    }

    /** One of two static members restarts; the other then leaves for a while, too. */
    private static String restarted(Flow flow, String[] settings) throws Exception {
        Flow.Member one = flow.join("one", named(settings, 1));
        Flow.Member two = flow.join("two", named(settings, 2));
        flow.untilShared(3, 3);
        Set<TopicPartition> held = flow.ledger.of("one");
        int changes = flow.ledger.changesOf("two");
        one.leave();
        flow.join("one", named(settings, 1));
        flow.untilShared(3, 3);
        Main.expect(held.toString(), flow.ledger.of("one").toString());
        Main.expect("changes " + changes, "changes " + flow.ledger.changesOf("two"));
        two.leave();
        return "restarted: the same partitions";
    }

    /** Members move from the classic to the new protocol and back while records flow. */
    private static String migration(Broker broker) throws Exception {
        try (Flow flow = new Flow(broker, "groups-migration", 1)) {
            String[] classic = Flow.classic("CooperativeStickyAssignor");
            List<String> types = new ArrayList<>();
            Flow.Member one = flow.join("one", classic);
            Flow.Member two = flow.join("two", classic);
            flow.untilShared(3, 3);
            types.add(described(broker.admin, flow.group).type().toString());
            one.leave();
            Flow.Member three = flow.join("three", UNIFORM);
            flow.untilShared(3, 3);
            types.add(described(broker.admin, flow.group).type().toString());
            two.leave();
            Flow.Member four = flow.join("four", UNIFORM);
            flow.untilShared(3, 3);
            three.leave();
            Flow.Member five = flow.join("five", classic);
            flow.untilShared(3, 3);
            types.add(described(broker.admin, flow.group).type().toString());
            four.leave();
            flow.untilShared(6);
            types.add(described(broker.admin, flow.group).type().toString());
            flow.finish();
            return types + ": all taken, one owner each, committed";
        }
    }

    private static String pattern(Broker broker) throws Exception {
        try (Flow flow = new Flow(broker, "groups-pattern", 2)) {
            SubscriptionPattern pattern =
                    new SubscriptionPattern(broker.prefix + "-groups-pattern-[0-9]");
            flow.join("one", pattern, UNIFORM);
            flow.join("two", pattern, UNIFORM);
            flow.untilShared(6, 6);
            flow.addTopic("groups-pattern-9");
            flow.untilShared(9, 9);
            flow.finish();
            return "6 6, with another topic 9 9";
        }
    }

    private static ConsumerGroupDescription described(Admin admin, String group)
            throws Exception {
        return admin.describeConsumerGroups(List.of(group)).all().get().get(group);
    }

    private static String shown(Admin admin, String group) throws Exception {
        ConsumerGroupDescription found = described(admin, group);
        List<String> members = found.members().stream()
                .map(member -> member.clientId().isEmpty() + " "
                        + member.assignment().topicPartitions().size() + " "
                        + member.targetAssignment().map(all -> all.topicPartitions().size()) + " "
                        + member.groupInstanceId() + " " + member.upgraded())
                .sorted().toList();
        return found.type() + " " + found.groupState() + " simple " + found.isSimpleConsumerGroup()
                + " assignor " + found.partitionAssignor() + " members " + members;
    }

    private static List<String> listed(Admin admin, String group, ListGroupsOptions options)
            throws Exception {
        return admin.listGroups(options).all().get().stream()
                .filter(one -> one.groupId().equals(group))
                .map(one -> one.type() + " " + one.protocol() + " " + one.groupState()).toList();
    }

    private static String admin(Broker broker, String name, String[] settings) throws Exception {
        Admin admin = broker.admin;
        Failures.Answers answers = new Failures.Answers();
        try (Flow flow = new Flow(broker, "groups-" + name, 1)) {
            String group = flow.group;
            String topic = flow.topics.get(0);
            TopicPartition zero = new TopicPartition(topic, 0);
            Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(
                    zero, new OffsetAndMetadata(1, "a word"),
                    new TopicPartition(topic, 5), new OffsetAndMetadata(0));
            flow.join("one", Flow.with(settings, "group.instance.id", "instance"));
            flow.untilShared(6);
            flow.untilTaken();
            answers.note("member in", shown(admin, group));
            answers.note("listed", listed(admin, group, new ListGroupsOptions()));
            answers.add("alter", () -> admin.alterConsumerGroupOffsets(group, offsets).all().get());
            answers.add("delete offsets", () -> admin.deleteConsumerGroupOffsets(
                    group, Set.of(zero)).partitionResult(zero).get());
            answers.add("delete", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            flow.finish();
            MemberToRemove gone = new MemberToRemove("instance");
            answers.note("left", shown(admin, group));
            admin.removeMembersFromConsumerGroup(group,
                    new RemoveMembersFromConsumerGroupOptions(List.of(gone))).all().get();
            answers.add("remove again", () -> admin.removeMembersFromConsumerGroup(group,
                    new RemoveMembersFromConsumerGroupOptions(List.of(gone))).all().get());
            answers.note("removed", shown(admin, group));
            GroupState empty = GroupState.EMPTY;
            answers.note("listed empty", listed(
                    admin, group, new ListGroupsOptions().inGroupStates(Set.of(empty))));
            answers.note("listed of other type", listed(admin, group,
                    new ListGroupsOptions().withTypes(Set.of(GroupType.SHARE))));
            admin.alterConsumerGroupOffsets(group, offsets).all().get();
            admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 1)))
                    .all().get();
            Map<Integer, String> committed = new TreeMap<>();
            flow.committed().forEach((place, offset) -> committed.put(place.partition(),
                    List.of(0, 5).contains(place.partition())
                            ? offset.offset() + offset.metadata() : "kept"));
            answers.note("committed", committed);
            admin.deleteConsumerGroups(List.of(group)).all().get();
            answers.note("listed", listed(admin, group, new ListGroupsOptions()));
            answers.note("committed", flow.committed());
            answers.add("describe", () -> described(admin, group));
            answers.add("delete", () -> admin.deleteConsumerGroups(List.of(group)).all().get());
            answers.add("delete offsets", () -> admin.deleteConsumerGroupOffsets(
                    group, Set.of(zero)).all().get());
            return answers.all();
        }
    }

    private Groups() {}
}
