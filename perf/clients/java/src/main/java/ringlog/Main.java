package ringlog;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The Apache Kafka Java producer, consumer and Admin client check a broker.
 *
 * <pre>
 * build: mvn --batch-mode --quiet compile                      (in this folder; makes target/)
 * start: java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp 'target/classes:target/libraries/*' \
 *          ringlog.Main --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
 * </pre>
 *
 * It needs a JDK of 17 or later. Every line of output is one check: {"check","result","detail",
 * "answer"}. The answer has nothing in it that differs from one broker or run to another, so that
 * two brokers can be compared by it. All topics are made here, through Admin, and their names begin
 * with the prefix. The exit status is 0 whenever the program came to its end.
 */
public final class Main {
    /** What a check does; what it returns is its answer. */
    interface Body {
        String run(Broker broker) throws Exception;
    }

    /** A check and its name. */
    record Check(String name, Body body) {}

    public static void main(String[] arguments) throws Exception {
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "error");
        FileOutputStream output = new FileOutputStream(FileDescriptor.out);
        System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
        String bootstrap = "127.0.0.1:9092";
        String prefix = "java";
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
        List<Check> checks = new ArrayList<>(Records.checks());
        checks.addAll(Admins.checks());
        checks.addAll(Failures.checks());
        checks.addAll(Groups.checks());
        checks.addAll(Transactions.checks());
        try (Broker broker = new Broker(bootstrap, prefix)) {
            for (Check check : checks) {
                if (chosen.isEmpty() || chosen.contains(check.name())) {
                    run(check, broker);
                }
            }
        }
    }

    private static void run(Check check, Broker broker) {
        long began = System.nanoTime();
        String result = "pass";
        String detail;
        String answer = "";
        try {
            answer = check.body().run(broker);
            detail = (System.nanoTime() - began) / 1_000_000 + " ms";
        } catch (Exception | AssertionError failure) {
            result = "fail";
            detail = Broker.cause(failure).toString();
        }
        System.out.printf(
                "{\"check\":%s,\"result\":%s,\"detail\":%s,\"answer\":%s}%n",
                quoted(check.name()), quoted(result), quoted(detail), quoted(answer));
    }

    static String quoted(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                default -> out.append(c < ' ' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
            }
        }
        return out.append('"').toString();
    }

    /** An answer that has to be this one. */
    static String expect(String wanted, String answer) {
        if (!wanted.equals(answer)) {
            throw new AssertionError("answered \"" + answer + "\", expected \"" + wanted + "\"");
        }
        return answer;
    }

    private Main() {}
}
