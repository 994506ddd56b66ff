package ringlog;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;

/** A group over some topics, to which records go all the time while something is awaited. */
final class Flow implements AutoCloseable {
    static final int PARTITIONS = 6;
    private static final long WAIT_MS_MAX = 25_000;

    final String group;
    final List<String> topics = new ArrayList<>();
    Ledger ledger = new Ledger();
    private final Broker broker;
    private final KafkaProducer<byte[], byte[]> producer;
    private final Map<String, Long> sent = new HashMap<>();
    private final List<Member> members = new ArrayList<>();

    Flow(Broker broker, String check, int topicCount) throws Exception {
        this.broker = broker;
        this.group = broker.prefix + "-" + check;
        this.producer = broker.producer("linger.ms", "0");
        for (int i = 0; i < topicCount; i++) {
            addTopic(check + "-" + i);
        }
    }

    void addTopic(String name) throws Exception {
        topics.add(broker.topic(name, PARTITIONS));
    }

    /** Settings of a member of this group, by the classic protocol with an assignor. */
    static String[] classic(String assignor) {
        return new String[] {"session.timeout.ms", "6000", "heartbeat.interval.ms", "200",
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer." + assignor};
    }

    /** Settings of a member by the protocol of KIP-848. */
    static String[] consumer(String assignor) {
        return new String[] {"group.protocol", "consumer", "group.remote.assignor", assignor};
    }

    static String[] with(String[] settings, String... more) {
        String[] all = Arrays.copyOf(settings, settings.length + more.length);
        System.arraycopy(more, 0, all, settings.length, more.length);
        return all;
    }

    /** A member: takes records, and commits what it took, until it has to leave. */
    final class Member extends Thread implements ConsumerRebalanceListener {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final boolean isConsumerProtocol;
        private final Ledger ledger = Flow.this.ledger;
        private final CountDownLatch ended = new CountDownLatch(1);
        private volatile boolean isLeaving;
        private volatile Throwable failure;

        Member(String name, SubscriptionPattern pattern, String... settings) {
            super(name);
            isConsumerProtocol = settings[0].equals("group.protocol");
            String[] all = with(settings, "group.id", group, "auto.offset.reset", "earliest");
            consumer = broker.consumer(all);
            if (pattern == null) {
                consumer.subscribe(topics, this);
            } else {
                consumer.subscribe(pattern, this);
            }
            setDaemon(true);
            start();
        }

        @Override
        public void run() {
            try {
                while (!isLeaving) {
                    consumer.poll(Duration.ofMillis(50)).forEach(record -> ledger.took(getName(),
                            new TopicPartition(record.topic(), record.partition()),
                            record.offset()));
                    commit();
                }
            } catch (WakeupException leaving) {
                // It has to leave.
            } catch (Throwable thrown) {
                failure = thrown;
            }
            ledger.left(getName());
            try {
                consumer.close();
            } catch (RuntimeException thrown) {
                failure = failure == null ? thrown : failure;
            }
            ended.countDown();
        }

        private void commit() {
            try {
                consumer.commitSync();
            } catch (CommitFailedException | RebalanceInProgressException rebalance) {
                // Whoever owns the partitions then takes the records again.
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> places) {
            // In the new protocol members come to an epoch one by one, so that it tells nothing.
            Integer generation =
                    isConsumerProtocol ? null : consumer.groupMetadata().generationId();
            ledger.assigned(getName(), places, generation);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> places) {
            commit();
            ledger.revoked(getName(), places);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> places) {
            ledger.revoked(getName(), places);
        }

        void leave() throws Exception {
            isLeaving = true;
            if (!ended.await(WAIT_MS_MAX, TimeUnit.MILLISECONDS)) {
                throw new AssertionError(getName() + " does not leave");
            }
            members.remove(this);
            if (failure != null) {
                throw new AssertionError(getName(), failure);
            }
        }

        Throwable failure() {
            return failure;
        }
    }

    Member join(String name, String... settings) {
        return join(name, null, settings);
    }

    Member join(String name, SubscriptionPattern pattern, String... settings) {
        Member member = new Member(name, pattern, settings);
        members.add(member);
        return member;
    }

    /** It is no longer of this group, though it does not know. */
    void forsake(Member member) {
        members.remove(member);
        ledger.forsake(member.getName());
    }

    /** A record to each partition. */
    void send() throws Exception {
        List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
        for (String topic : topics) {
            long number = sent.merge(topic, 1L, Long::sum) - 1;
            for (int partition = 0; partition < PARTITIONS; partition++) {
                byte[] value = String.valueOf(number).getBytes();
                records.add(new ProducerRecord<>(topic, partition, null, value));
            }
        }
        Broker.send(producer, records);
    }

    void until(String what, boolean isFlowing, BooleanSupplier condition) throws Exception {
        long deadline = System.currentTimeMillis() + WAIT_MS_MAX;
        while (!condition.getAsBoolean()) {
            for (Member member : members) {
                if (member.failure != null) {
                    throw new AssertionError(member.getName(), member.failure);
                }
            }
            if (System.currentTimeMillis() > deadline || !ledger.complaints().isEmpty()) {
                throw new AssertionError("not in time: " + what + "; shares " + ledger.shares()
                        + ", complaints " + ledger.complaints());
            }
            if (isFlowing) {
                send();
            }
            Thread.sleep(20);
        }
    }

    void untilShared(Integer... shares) throws Exception {
        until("shares " + List.of(shares), true, () -> ledger.shares().equals(List.of(shares)));
    }

    /** Until all records that were sent are taken. */
    void untilTaken() throws Exception {
        Map<TopicPartition, TreeSet<Long>> all = new HashMap<>();
        for (String topic : topics) {
            for (TopicPartition place : Broker.partitionsOf(topic, PARTITIONS)) {
                TreeSet<Long> offsets = new TreeSet<>();
                for (long offset = 0; offset < sent.get(topic); offset++) {
                    offsets.add(offset);
                }
                all.put(place, offsets);
            }
        }
        until("all is taken", false, () -> ledger.taken().equals(all));
    }

    /** All is taken, all leave, and what is committed is what was taken. */
    void finish() throws Exception {
        untilTaken();
        for (Member member : List.copyOf(members)) {
            member.leave();
        }
        Main.expect("[]", ledger.complaints().toString());
        Map<TopicPartition, OffsetAndMetadata> committed = committed();
        for (String topic : topics) {
            for (TopicPartition place : Broker.partitionsOf(topic, PARTITIONS)) {
                OffsetAndMetadata found = committed.get(place);
                Main.expect(place + " " + sent.get(topic),
                        place + " " + (found == null ? null : found.offset()));
            }
        }
    }

    Map<TopicPartition, OffsetAndMetadata> committed() throws Exception {
        return broker.admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata().get();
    }

    /** A new member of the group reads what is new, and nothing old. */
    void fresh(String... settings) throws Exception {
        ledger = new Ledger();
        Member member = join("fresh", settings);
        send();
        Map<TopicPartition, TreeSet<Long>> all = new HashMap<>();
        for (String topic : topics) {
            for (TopicPartition place : Broker.partitionsOf(topic, PARTITIONS)) {
                all.put(place, new TreeSet<>(List.of(sent.get(topic) - 1)));
            }
        }
        until("all new is taken", false, () -> ledger.taken().size() == all.size());
        member.leave();
        Main.expect(all.toString(), ledger.taken().toString());
    }

    @Override
    public void close() {
        producer.close(Duration.ZERO);
        for (Member member : List.copyOf(members)) {
            member.isLeaving = true;
            member.consumer.wakeup();
        }
    }
}
