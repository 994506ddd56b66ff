package ringlog;

import java.io.PrintStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * How long a group takes to settle: --members consumers, a thread each, on a --topic of --partitions
 * partitions, under --protocol eager, cooperative or consumer.
 *
 * <p>Settled is a group in which each partition has one owner and no member has more than one
 * partition more than another. It counts from when that was so, once it has been so for a second.
 * Owners are what the members themselves are told, by their callbacks. The consumers exist before the
 * clock starts. Prints an object for each change of the group.
 */
final class Rebalance {
    private static final long CALM_NANOS = 1_000_000_000L;
    private static final long WAIT_NANOS_MAX = 120_000_000_000L;
    private static final int NOBODY = 0;

    private final ExactlyOnce.Options options;
    private final String name;
    private final int partitions;
    /** Of the members so far; they begin with 1. */
    private int numbers = NOBODY;
    /** By partition: the number of the member that owns it. */
    private final AtomicIntegerArray owners;
    /** By partition: who owned it when the group was last settled. */
    private final int[] before;
    /** How often a member was given what another had not given back. */
    private final AtomicInteger shared = new AtomicInteger();
    /** When a callback last changed an owner. */
    private final AtomicLong changed = new AtomicLong(System.nanoTime());
    private final AtomicReference<Throwable> failure = new AtomicReference<>();
    private final List<Member> members = new ArrayList<>();

    static void run(ExactlyOnce.Options options, PrintStream out) throws Exception {
        // The first group of a broker waits for the topic of offsets, and a JVM for its classes.
        Rebalance first = new Rebalance(options, options.text("group") + "-first");
        Member alone = first.member();
        first.join(alone);
        first.settle(System.nanoTime());
        first.leave();
        alone.thread.join();

        Rebalance group = new Rebalance(options, options.text("group"));
        List<Member> all = new ArrayList<>();
        for (int i = 0; i < options.number("members"); i++) {
            all.add(group.member());
        }
        Member late = group.member();
        group.change("all join", out, () -> all.forEach(group::join));
        group.change("one leaves", out, group::leave);
        group.change("one joins", out, () -> group.join(late));
    }

    private Rebalance(ExactlyOnce.Options options, String name) {
        this.options = options;
        this.name = name;
        partitions = options.number("partitions");
        owners = new AtomicIntegerArray(partitions);
        before = new int[partitions];
    }

    private void change(String what, PrintStream out, Runnable action) throws Exception {
        long began = System.nanoTime();
        changed.set(began);
        action.run();
        long settled = settle(began);
        int moved = 0;
        for (int i = 0; i < partitions; i++) {
            moved += before[i] == owners.get(i) ? 0 : 1;
            before[i] = owners.get(i);
        }
        out.printf(Locale.ROOT,
                "{\"change\":\"%s\",\"seconds\":%.3f,\"moved\":%d,\"shared\":%d}%n",
                what, (settled - began) / 1e9, moved, shared.get());
        out.flush();
    }

    /** Waits until the group is settled and says since when, in nanoseconds. */
    private long settle(long began) throws Exception {
        while (true) {
            if (failure.get() != null) {
                throw new IllegalStateException(failure.get());
            }
            long since = changed.get();
            long now = System.nanoTime();
            if (now - since > CALM_NANOS && isEven() && since == changed.get()) {
                return since;
            }
            if (now - began > WAIT_NANOS_MAX) {
                throw new IllegalStateException("not settled: " + owners);
            }
            Thread.sleep(5);
        }
    }

    private boolean isEven() {
        int[] shares = new int[numbers + 1];
        for (int i = 0; i < partitions; i++) {
            shares[owners.get(i)]++;
        }
        int least = Integer.MAX_VALUE;
        int most = 0;
        int sum = 0;
        for (Member member : members) {
            least = Math.min(least, shares[member.number]);
            most = Math.max(most, shares[member.number]);
            sum += shares[member.number];
        }
        return sum == partitions && most - least <= 1;
    }

    private Member member() {
        return new Member(++numbers);
    }

    private void join(Member member) {
        members.add(member);
        member.thread.start();
    }

    /** The first member closes its consumer. */
    private void leave() {
        members.remove(0).consumer.wakeup();
    }

    private final class Member implements ConsumerRebalanceListener {
        final int number;
        final KafkaConsumer<byte[], byte[]> consumer;
        final Thread thread = new Thread(this::live);

        Member(int number) {
            this.number = number;
            ByteArrayDeserializer bytes = new ByteArrayDeserializer();
            consumer = new KafkaConsumer<>(settings(), bytes, bytes);
            thread.setDaemon(true);
        }

        private void live() {
            try (consumer) {
                consumer.subscribe(List.of(options.text("topic")), this);
                while (true) {
                    consumer.poll(Duration.ofSeconds(1));
                }
            } catch (WakeupException leaving) {
                // Closing gives the partitions back.
            } catch (Throwable error) {
                failure.compareAndSet(null, error);
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> given) {
            for (TopicPartition one : given) {
                if (!owners.compareAndSet(one.partition(), NOBODY, number)) {
                    shared.incrementAndGet();
                    owners.set(one.partition(), number);
                }
            }
            note(given);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> taken) {
            for (TopicPartition one : taken) {
                owners.compareAndSet(one.partition(), number, NOBODY);
            }
            note(taken);
        }

        private void note(Collection<TopicPartition> touched) {
            if (!touched.isEmpty()) {
                changed.set(System.nanoTime());
            }
        }
    }

    private Properties settings() {
        Properties settings = ExactlyOnce.base(options);
        settings.put("group.id", name);
        settings.put("enable.auto.commit", "false");
        String assignor = switch (options.text("protocol")) {
            case "eager" -> "RangeAssignor";
            case "cooperative" -> "CooperativeStickyAssignor";
            case "consumer" -> "";
            default -> throw new IllegalArgumentException(options.text("protocol"));
        };
        if (assignor.isEmpty()) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("partition.assignment.strategy",
                    "org.apache.kafka.clients.consumer." + assignor);
        }
        return settings;
    }
}
