package ringlog;

import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Prints what is committed of --topic, up to where it ends now: partition, offset, key, value. */
final class Reader {
    static void run(ExactlyOnce.Options options, PrintStream out) {
        Properties settings = ExactlyOnce.base(options);
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        StringDeserializer text = new StringDeserializer();
        try (var consumer = new KafkaConsumer<>(settings, text, text)) {
            List<TopicPartition> all = consumer.partitionsFor(options.text("topic")).stream()
                    .map(one -> new TopicPartition(one.topic(), one.partition())).toList();
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (all.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    out.print(record.partition() + "\t" + record.offset() + "\t" + record.key()
                            + "\t" + record.value() + "\n");
                }
            }
        }
    }

    private Reader() {}
}
