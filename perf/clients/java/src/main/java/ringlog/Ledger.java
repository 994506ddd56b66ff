package ringlog;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.TopicPartition;

/**
 * Who of a group owns which partition, and what was taken from it.
 *
 * <p>A partition has one owner at a time, and a record is taken by the owner of its partition; all
 * else is a complaint.
 */
final class Ledger {
    private final Map<TopicPartition, String> owners = new HashMap<>();
    private final Map<String, String> generations = new HashMap<>();
    private final Set<TopicPartition> served = new HashSet<>();
    private final Map<TopicPartition, TreeSet<Long>> taken = new HashMap<>();
    private final Map<String, Integer> changes = new HashMap<>();
    private final Set<String> zombies = new HashSet<>();
    private final List<String> complaints = new ArrayList<>();

    synchronized void assigned(
            String member, Collection<TopicPartition> places, Integer generation) {
        if (zombies.contains(member) || places.isEmpty()) {
            return;
        }
        changes.merge(member, 1, Integer::sum);
        for (TopicPartition place : places) {
            String owner = owners.putIfAbsent(place, member);
            if (owner != null && !owner.equals(member)) {
                complaints.add(member + " is given " + place + " of " + owner);
            }
            String first = generation == null ? null
                    : generations.putIfAbsent(generation + " " + place, member);
            if (first != null && !first.equals(member)) {
                complaints.add(place + ": " + first + " and " + member + " in " + generation);
            }
            served.remove(place);
        }
    }

    synchronized void revoked(String member, Collection<TopicPartition> places) {
        if (!places.isEmpty()) {
            changes.merge(member, 1, Integer::sum);
        }
        places.forEach(place -> owners.remove(place, member));
    }

    synchronized void left(String member) {
        owners.values().removeIf(member::equals);
    }

    /**
     * Another will take its name, and its partitions in the same generation; until it knows of that,
     * it owns nothing, whatever it says.
     */
    synchronized void forsake(String member) {
        left(member);
        zombies.add(member);
        generations.values().removeIf(member::equals);
    }

    synchronized void took(String member, TopicPartition place, long offset) {
        taken.computeIfAbsent(place, any -> new TreeSet<>()).add(offset);
        if (zombies.contains(member)) {
            return;
        }
        if (!member.equals(owners.get(place))) {
            complaints.add(member + " took of " + place + ", which is not its own");
        }
        served.add(place);
    }

    synchronized Set<TopicPartition> of(String member) {
        Set<TopicPartition> held = new HashSet<>(owners.keySet());
        held.removeIf(place -> !owners.get(place).equals(member));
        return held;
    }

    synchronized int changesOf(String member) {
        return changes.getOrDefault(member, 0);
    }

    /** How many partitions each owner has; those that it took nothing from yet not counted. */
    synchronized List<Integer> shares() {
        Map<String, Integer> counts = new TreeMap<>();
        for (TopicPartition place : served) {
            if (owners.containsKey(place)) {
                counts.merge(owners.get(place), 1, Integer::sum);
            }
        }
        return counts.values().stream().sorted().toList();
    }

    synchronized Map<TopicPartition, TreeSet<Long>> taken() {
        Map<TopicPartition, TreeSet<Long>> copy = new HashMap<>();
        taken.forEach((place, offsets) -> copy.put(place, new TreeSet<>(offsets)));
        return copy;
    }

    synchronized List<String> complaints() {
        return List.copyOf(complaints);
    }
}
