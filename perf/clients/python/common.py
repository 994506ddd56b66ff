"""The scenario that every Python client plays; a client is an adapter of `Client`.

Invariants: each check stands alone (`--only`), uses topics of its own under the prefix, and answers
in words that two right brokers share: no ids, ports, times, nor the prefix. A check never waits
longer than `DEADLINE` for anything.
"""

import argparse
import json
import re
import subprocess
import time
from typing import NamedTuple

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
DEADLINE = 10.0
RECORDS = 1000
PARTITIONS = 4
MIB = 1024 * 1024
# Room for the records of `sizes`, in the topic and in the clients.
MESSAGE_BYTES_MAX = 4 * MIB
# An hour ago: old enough for every record to be in the past, young enough to be retained.
FIRST_TIMESTAMP = int(time.time() * 1000) - 3_600_000


class Absent(Exception):
    """This client has no such feature; the message says which."""


class Record(NamedTuple):
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()
    timestamp: int | None = None


class Seen(NamedTuple):
    offset: int
    record: Record


class Client:
    """What a client adapter offers. Whatever it lacks raises `Absent` here."""

    has_null_headers = True
    # Whether its description of a topic asks the broker to create what is unknown.
    has_creating_description = False
    # Whether a static member that is fenced by another of its name gives up.
    heeds_fencing = True

    def create(self, topic, partitions, configs=None, validate_only=False):
        """Makes a topic; raises the client's own error when the broker refuses."""
        raise Absent("no CreateTopics")

    def produce(self, topic, records, codec="none", acks="all", idempotence=False):
        """Sends all, waits for all; returns the offset of each (-1: not told)."""
        raise Absent("no producer")

    def read(self, topic, starts, count):
        """`count` records from {partition: offset or "beginning" or "end"}, as they come."""
        raise Absent("no reading without a group")

    def position(self, topic, partition, where):
        """The offset at which a reader stands after a seek to "beginning" or "end"."""
        raise Absent("no seek to the ends")

    def offsets_at(self, topic, partition, timestamps):
        """For each timestamp the first offset at or after it, or None."""
        raise Absent("no offsets by time")

    def topics(self):
        """The names of all topics."""
        raise Absent("no list of topics")

    def describe(self, topic):
        """[(partition, has leader, replicas, in sync)] in the order of partitions."""
        raise Absent("no description of topics")

    def configs(self, topic, names):
        """{name: "value source"}."""
        raise Absent("no DescribeConfigs")

    def alter(self, topic, name, value):
        """Sets a topic's setting, or with None takes it back."""
        raise Absent("no IncrementalAlterConfigs")

    def grow(self, topic, total):
        """Gives a topic this many partitions."""
        raise Absent("no CreatePartitions")

    def list_offset(self, topic, partition, which):
        """The offset that `which` means: "earliest", "latest", "max" or a timestamp."""
        raise Absent("no ListOffsets in the admin client")

    def delete_records(self, topic, partition, before):
        """Deletes records before the offset (-1: all); returns the new start, or None."""
        raise Absent("no DeleteRecords")

    def delete(self, topic):
        """Deletes a topic."""
        raise Absent("no DeleteTopics")

    def cluster(self):
        """(has an id, number of brokers, the controller is one of them)."""
        raise Absent("no description of the cluster")

    def member(self, joining, ledger, name):
        """A consumer in a group (`groups.Joining`) with poll(), commit(), seek(topic, partition,
        offset) and close(); it tells the ledger of partitions that are assigned and revoked. poll()
        gives (topic, partition, offset, value)s; commit() commits what was polled, or nothing when
        a rebalance is under way."""
        raise Absent("no consumer groups")

    def committed(self, group, topic, partitions):
        """The committed offset of each partition, or None."""
        raise Absent("no committed offsets")

    def groups(self):
        """The names of all groups."""
        raise Absent("no ListGroups")

    def describe_group(self, group):
        """The state of a group and its members."""
        raise Absent("no DescribeGroups")

    def set_offsets(self, group, topic, offsets):
        """Commits {partition: offset} for a group without members."""
        raise Absent("no way to set offsets")

    def forget_offset(self, group, topic, partition):
        """Deletes a committed offset."""
        raise Absent("no OffsetDelete")

    def delete_group(self, group):
        """Deletes a group."""
        raise Absent("no DeleteGroups")

    def transactional(self, name, timeout_ms):
        """A producer of transactions that is not initialised yet: init(), begin(), commit(),
        abort(), close(), send(topic, partition, values) that waits until all are acknowledged, and
        send_offsets(group, consumer, topic, {partition: offset})."""
        raise Absent("no transactions")

    def error_name(self, error):
        """What the client calls an error that the broker sent."""
        raise NotImplementedError

    def close(self):
        """Lets go of all connections."""


def check_equal(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: {str(found)[:300]}, expected {str(expected)[:300]}")


def keyed(count, partitions, per_record=None):
    """Records that tell where they belong, dealt to the partitions in turn."""
    for index in range(count):
        timestamp = None if per_record is None else FIRST_TIMESTAMP + per_record(index)
        value = f"value {index} ".encode() * 12
        yield Record(index % partitions, f"key {index}".encode(), value, (), timestamp)


def by_partition(records, partitions):
    held = {partition: [] for partition in range(partitions)}
    for record in records:
        held[record.partition].append(record)
    return held


class Scenario:
    """One method per check name, `/` and `-` written as `_`; it returns the answer."""

    def __init__(self, client, prefix):
        self.client = client
        self.prefix = prefix

    def topic(self, name):
        return f"{self.prefix}-{name}"

    def round_trip(self, topic, records, partitions, **options):
        """Produces, reads all back, compares everything and the order in each partition."""
        offsets = self.client.produce(topic, records, **options)
        held = by_partition(records, partitions)
        expected_offsets = {p: list(range(len(rs))) for p, rs in held.items()}
        if options.get("acks") != "0":
            told = {partition: [] for partition in held}
            for record, offset in zip(records, offsets, strict=True):
                told[record.partition].append(offset)
            check_equal("acknowledged offsets", told, expected_offsets)
        starts = dict.fromkeys(held, "beginning")
        seen = by_partition_seen(self.client.read(topic, starts, len(records)), partitions)
        for partition, expected in held.items():
            offsets_seen = [one.offset for one in seen[partition]]
            check_equal(f"offsets of {partition}", offsets_seen, expected_offsets[partition])
            for one, record in zip(seen[partition], expected, strict=True):
                timestamp = record.timestamp
                got = one.record if timestamp else one.record._replace(timestamp=None)
                check_equal(f"record {one.offset} of partition {partition}", got, record)
        return seen

    def make(self, topic, partitions, configs=None):
        """
        Makes a topic and waits until it is served: a leader that does not know yet that it leads
        refuses what it is sent, and what is sent again may be overtaken.
        """
        self.list(topic, partitions, configs)
        for partition in range(partitions):
            self.settle(lambda: self.serves(topic, partition), "the partition is served")

    def list(self, topic, partitions, configs=None):
        """Makes a topic and waits until the broker shows it."""
        self.client.create(topic, partitions, configs)
        self.settle(lambda: topic in self.client.topics(), "the topic is listed")

    def serves(self, topic, partition):
        """Whether the leader knows that it leads."""
        try:
            return self.client.position(topic, partition, "end") == 0
        except Absent:
            raise
        except Exception:
            return False

    def codec(self, codec):
        topic = self.topic(f"codec-{codec}")
        self.make(topic, PARTITIONS)
        self.round_trip(topic, list(keyed(RECORDS, PARTITIONS)), PARTITIONS, codec=codec)
        return f"{RECORDS} records in {PARTITIONS} partitions"

    def acks(self, acks):
        topic = self.topic(f"acks-{acks}")
        self.make(topic, PARTITIONS)
        self.round_trip(topic, list(keyed(100, PARTITIONS)), PARTITIONS, acks=acks)
        return "100 records"

    def idempotence(self):
        topic = self.topic("idempotence")
        self.make(topic, PARTITIONS)
        records = list(keyed(RECORDS, PARTITIONS))
        self.round_trip(topic, records, PARTITIONS, idempotence=True)
        return f"{RECORDS} records in {PARTITIONS} partitions"

    def headers(self):
        topic = self.topic("headers")
        self.make(topic, 1)
        pairs = (("a", b"1"), ("b", b""), ("a", b"2"), ("ü", "é".encode()))
        if self.client.has_null_headers:
            pairs += (("nothing", None),)
        self.round_trip(topic, [Record(0, b"k", b"v", pairs), Record(0, b"k", b"v")], 1)
        return str(pairs)

    def nulls(self):
        topic = self.topic("nulls")
        self.make(topic, 1)
        pairs = [(None, b"v"), (b"k", None), (b"k", b""), (b"", b"v"), (b"", b"")]
        self.round_trip(topic, [Record(0, key, value) for key, value in pairs], 1)
        return str(pairs)

    def sizes(self):
        topic = self.topic("sizes")
        self.make(topic, 1, {"max.message.bytes": str(MESSAGE_BYTES_MAX)})
        large = b"".join(number.to_bytes(4, "big") for number in range(MIB // 4))
        self.round_trip(topic, [Record(0, None, b"x"), Record(0, None, large)], 1)
        return "1 1048576"

    def partitions(self, count):
        topic = self.topic(f"partitions-{count}")
        self.make(topic, count)
        self.round_trip(topic, list(keyed(count * 3, count)), count)
        return f"{count} partitions, 3 records each"

    def timed(self, name, per_record):
        """A topic of one partition with 100 records, each with its own time."""
        topic = self.topic(name)
        self.make(topic, 1)
        self.client.produce(topic, list(keyed(100, 1, per_record)))
        return topic

    def seek_offset(self):
        topic = self.timed("seek-offset", lambda index: index * 1000)
        return self.offsets_read(topic, 42, 3)

    def offsets_read(self, topic, start, count):
        return " ".join(str(one.offset) for one in self.client.read(topic, {0: start}, count))

    def seek_timestamp(self):
        topic = self.timed("seek-timestamp", lambda index: index * 1000)
        times = [FIRST_TIMESTAMP + delta for delta in (-1, 50_000, 50_001, 99_000, 99_001)]
        offsets = self.client.offsets_at(topic, 0, times)
        first = self.client.read(topic, {0: offsets[2]}, 1)[0]
        check_equal("time of the first", first.record.timestamp, FIRST_TIMESTAMP + 51_000)
        return " ".join(str(offset) for offset in offsets)

    def seek_ends(self):
        topic = self.timed("seek-ends", lambda index: index * 1000)
        ends = [self.client.position(topic, 0, where) for where in ("beginning", "end")]
        return f"{ends[0]} {ends[1]}, then {self.offsets_read(topic, 'beginning', 1)}"

    def kcat(self, topic, isolation, form):
        """What kcat reads to the end that it is shown, in a form of its own language."""
        command = ["kcat", "-C", "-b", self.client.bootstrap, "-t", topic, "-o", "beginning"]
        command += ["-e", "-q", "-f", form, "-X", f"isolation.level={isolation}"]
        command += ["-X", "fetch.wait.max.ms=50"]
        return subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE,
                              text=True).stdout

    def admin_create(self):
        topic, tried = self.topic("admin-create"), self.topic("admin-create-tried")
        self.client.create(topic, 3, {"retention.ms": "3600000", "cleanup.policy": "compact"})
        self.client.create(tried, 3, validate_only=True)
        self.settle(lambda: topic in self.client.topics(), "the topic is listed")
        topics = self.client.topics()
        return f"created: {topic in topics}, only validated: {tried in topics}"

    def admin_describe(self):
        topic = self.topic("admin-describe")
        self.make(topic, 3)
        return str(self.client.describe(topic))

    def admin_configs(self):
        topic = self.topic("admin-configs")
        self.make(topic, 1, {"cleanup.policy": "compact,delete"})
        names = ("cleanup.policy", "compression.type", "max.message.bytes", "retention.ms",
                 "min.insync.replicas", "message.timestamp.type", "segment.bytes")
        answers = [self.client.configs(topic, names)]
        for value, shown in (("7200000", "7200000"), (None, "604800000")):
            self.client.alter(topic, "retention.ms", value)
            retention = lambda: self.client.configs(topic, ("retention.ms",))
            self.settle(lambda: shown in retention()["retention.ms"], f"retention.ms is {shown}")
            answers.append(retention())
        return " | ".join(str(answer) for answer in answers)

    def admin_partitions(self):
        topic = self.topic("admin-partitions")
        self.make(topic, 2)
        self.client.grow(topic, 5)
        self.settle(lambda: len(self.client.describe(topic)) == 5, "five partitions are shown")
        self.client.produce(topic, [Record(4, b"k", b"v")])
        found = self.client.read(topic, {4: "beginning"}, 1)
        return f"{len(self.client.describe(topic))} partitions, {found[0].record.value} in the last"

    def admin_offsets(self):
        # The largest time stands at offset 60, in the midst.
        topic = self.timed("admin-offsets", lambda index: -abs(index - 60) * 1000)
        which = ("earliest", "latest", FIRST_TIMESTAMP - 10_500, FIRST_TIMESTAMP + 1, "max")
        return " ".join(str(self.client.list_offset(topic, 0, one)) for one in which)

    def admin_delete_records(self):
        topic = self.timed("admin-delete-records", lambda index: index * 1000)
        starts = [self.client.delete_records(topic, 0, 30)]
        first = self.offsets_read(topic, "beginning", 1)
        starts.append(self.client.delete_records(topic, 0, -1))
        ends = [self.client.position(topic, 0, where) for where in ("beginning", "end")]
        return f"starts {starts}, first {first}, ends {ends}"

    def admin_delete(self):
        topic = self.topic("admin-delete")
        # Not served: a reader that has asked for a topic once may have it made anew.
        self.list(topic, 2)
        self.client.delete(topic)
        self.settle(lambda: topic not in self.client.topics(), "the topic is gone")
        return self.refused(self.client.delete, topic)

    def admin_cluster(self):
        has_id, brokers, has_controller = self.client.cluster()
        return f"id: {has_id}, brokers: {brokers > 0}, controller is one: {has_controller}"

    def settle(self, condition, what):
        """Brokers learn of changes a moment after the controller has answered."""
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"not within {DEADLINE} s: {what}")
            time.sleep(0.05)

    def refused(self, action, *arguments, **options):
        """The name of the error with which the action must fail."""
        try:
            result = action(*arguments, **options)
        except (Absent, AssertionError, TimeoutError):
            raise
        except Exception as error:
            return self.client.error_name(error)
        raise AssertionError(f"not refused: {str(result)[:200]}")

    def errors_unknown_topic(self):
        topic = self.topic("errors-unknown")
        if not self.client.has_creating_description:
            return self.refused(self.client.describe, topic)
        deleted = self.refused(self.client.delete, topic)
        try:
            described = f"{len(self.client.describe(topic))} partitions"
        except Exception as error:
            described = self.client.error_name(error)
        return f"delete: {deleted}, describe: {described}"

    def errors_too_large(self):
        topic = self.topic("errors-too-large")
        self.make(topic, 1)
        return self.refused(self.client.produce, topic, [Record(0, None, b"x" * 2 * MIB)])

    def errors_invalid_name(self):
        return self.refused(self.client.create, self.topic("errors invalid name"), 1)

    def errors_exists(self):
        topic = self.topic("errors-exists")
        self.make(topic, 1)
        return self.refused(self.client.create, topic, 1)

    def errors_out_of_range(self):
        topic = self.timed("errors-out-of-range", lambda index: index * 1000)
        return self.refused(self.client.read, topic, {0: 1000}, 1)

    def errors_bad_config(self):
        topic = self.topic("errors-bad-config")
        value = self.refused(self.client.create, topic, 1, {"retention.ms": "soon"})
        name = self.refused(self.client.create, topic, 1, {"no.such.setting": "1"})
        return f"value: {value}, name: {name}"

    def errors_bad_partitions(self):
        topic = self.topic("errors-bad-partitions")
        made = self.refused(self.client.create, topic, 0)
        self.make(topic, 2)
        try:
            shrunk = self.refused(self.client.grow, topic, 1)
        except Absent:
            shrunk = "cannot be asked"
        return f"none: {made}, fewer: {shrunk}"

    def checks(self):
        """Every check by name, in the order in which they are played."""
        named = {f"codec/{codec}": (self.codec, codec) for codec in CODECS}
        named |= {f"acks/{acks}": (self.acks, acks) for acks in ("0", "1", "all")}
        named |= {name: (getattr(self, name),) for name in ("idempotence", "headers", "nulls")}
        named["sizes"] = (self.sizes,)
        named |= {f"partitions/{count}": (self.partitions, count) for count in (1, 64)}
        families = {
            "seek": "offset timestamp ends",
            "admin": "create describe configs partitions offsets delete-records delete cluster",
            "errors": "unknown-topic too-large invalid-name exists out-of-range bad-config "
                      "bad-partitions",
        }
        for family, members in families.items():
            named |= self.family(family, members)
        return named

    def family(self, family, members):
        """The checks of a family by name, from the names of its members."""
        names = [f"{family}/{member}" for member in members.split()]
        return {name: (getattr(self, re.sub("[/-]", "_", name)),) for name in names}


def by_partition_seen(seen, partitions):
    held = {partition: [] for partition in range(partitions)}
    for one in seen:
        held[one.record.partition].append(one)
    return held


def report(check, result, detail="", answer=""):
    line = {"check": check, "result": result, "detail": detail, "answer": answer}
    print(json.dumps(line), flush=True)


def play(check, action, prefix):
    began = time.monotonic()
    try:
        method, *arguments = action
        answer = method(*arguments).replace(prefix, "PREFIX")
    except Absent as absence:
        report(check, "absent", str(absence))
    except Exception as error:
        report(check, "fail", f"{type(error).__name__}: {error}"[:1000])
    else:
        report(check, "pass", f"{time.monotonic() - began:.2f} s", answer)


def main(make_client, scenario):
    """Runs the checks of a scenario that the command line asks for; `make_client(bootstrap)`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    client = make_client(arguments.bootstrap)
    client.bootstrap = arguments.bootstrap
    checks = scenario(client, arguments.prefix).checks()
    wanted = [name for name in arguments.only.split(",") if name] or list(checks)
    for name in wanted:
        if name in checks:
            play(name, checks[name], arguments.prefix)
    client.close()
