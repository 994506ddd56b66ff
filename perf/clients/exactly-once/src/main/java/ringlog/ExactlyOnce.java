package ringlog;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;

/**
 * What `cargo perf exactly-once` runs on the JVM.
 *
 * <pre>
 * build: mvn --batch-mode --quiet compile                      (in this folder; makes target/)
 * start: java -cp 'target/classes:target/libraries/*' ringlog.ExactlyOnce \
 *          count | transfer | read | rebalance  --bootstrap HOST:PORT [--NAME VALUE ...]
 * </pre>
 *
 * It needs a JDK of 17 or later. Results go to standard output, everything else to standard error.
 * `count` and `transfer` run until they are killed: being killed is what they are for. A status
 * other than 0 says that a program gave up by itself.
 */
public final class ExactlyOnce {
    /** The options of a program, by name. */
    record Options(Map<String, String> values) {
        String text(String name) {
            String value = values.get(name);
            if (value == null) {
                throw new IllegalArgumentException("--" + name + " is missing");
            }
            return value;
        }

        int number(String name) {
            return Integer.parseInt(text(name));
        }
    }

    public static void main(String[] arguments) {
        FileOutputStream output = new FileOutputStream(FileDescriptor.out);
        PrintStream out =
                new PrintStream(new BufferedOutputStream(output), false, StandardCharsets.UTF_8);
        Map<String, String> values = new HashMap<>();
        for (int i = 1; i + 1 < arguments.length; i += 2) {
            values.put(arguments[i].replaceFirst("^--", ""), arguments[i + 1]);
        }
        Options options = new Options(values);
        int status = 0;
        try {
            switch (arguments[0]) {
                case "count" -> WordCount.run(options);
                case "transfer" -> Transfers.run(options);
                case "read" -> Reader.run(options, out);
                case "rebalance" -> Rebalance.run(options, out);
                default -> throw new IllegalArgumentException(arguments[0]);
            }
        } catch (Exception failure) {
            failure.printStackTrace();
            status = 1;
        }
        out.flush();
        // Threads of a library that failed must not keep the process.
        Runtime.getRuntime().halt(status);
    }

    /** Settings with which a client comes back soon to a broker that was away. */
    static Properties base(Options options) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", options.text("bootstrap"));
        settings.put("reconnect.backoff.ms", "50");
        settings.put("reconnect.backoff.max.ms", "500");
        return settings;
    }

    private ExactlyOnce() {}
}
