package ringlog;

import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * A word count with state: lines of --source are cut into words, sent on by word through a topic of
 * its own, counted in a store with a changelog, and each new count goes to --target. Nothing is
 * cached, so that a word that occurs n times gives exactly the counts 1 to n, in this order.
 */
final class WordCount {
    static void run(ExactlyOnce.Options options) throws InterruptedException {
        Serde<String> text = Serdes.String();
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(options.text("source"), Consumed.with(text, text))
                .flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with("by-word", text, text))
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                        .withKeySerde(text).withValueSerde(Serdes.Long()))
                .toStream()
                .mapValues(count -> Long.toString(count))
                .to(options.text("target"), Produced.with(text, text));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(options));
        CountDownLatch ended = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(failure -> {
            failure.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        streams.setStateListener((state, before) -> {
            System.err.println(before + " -> " + state);
            if (state == KafkaStreams.State.ERROR || state == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        streams.start();
        ended.await();
        throw new IllegalStateException("the streams ended by themselves");
    }

    private static Properties settings(ExactlyOnce.Options options) {
        Properties settings = ExactlyOnce.base(options);
        settings.put("application.id", options.text("application"));
        settings.put("state.dir", options.text("state"));
        settings.put("processing.guarantee", "exactly_once_v2");
        settings.put("replication.factor", "1");
        settings.put("statestore.cache.max.bytes", "0");
        // A killed member is missed soon.
        settings.put("session.timeout.ms", "6000");
        settings.put("heartbeat.interval.ms", "1000");
        settings.put("auto.offset.reset", "earliest");
        return settings;
    }

    private WordCount() {}
}
