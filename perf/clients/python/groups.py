"""Consumer groups: what every Python client plays with members in threads of their own.

Invariants, kept by `Ledger` while records flow: a partition has one owner at a time, a record is
taken by the owner of its partition only, and where a client tells the generation, a partition has
one owner in it. Nobody ever waits for a time, only for what must come.
"""

import threading
import time
from collections import Counter
from typing import NamedTuple

import common
from common import Absent, Record, check_equal

PARTITIONS = 6
DEADLINE = 25.0
SESSION_MS = 6000
HEARTBEAT_MS = 200


class Joining(NamedTuple):
    """How a member joins: `how` is "range", "cooperative-sticky" or "consumer" (KIP-848)."""

    group: str
    topics: tuple
    how: str = "range"
    instance: str | None = None
    pattern: str | None = None
    isolation: str = "read_uncommitted"


class Ledger:
    """Who owns which (topic, partition), and what was taken from it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.owners = {}
        self.generations = {}
        self.served = set()
        self.taken = {}
        self.changes = Counter()
        self.zombies = set()
        self.complaints = []

    def assigned(self, member, places, generation=None):
        with self.lock:
            if member in self.zombies:
                return
            self.changes[member] += bool(places)
            for place in places:
                owner = self.owners.setdefault(place, member)
                if owner != member:
                    self.complaints.append(f"{member} is given {place} of {owner}")
                first = self.generations.setdefault((generation, place), member)
                if generation is not None and first != member:
                    self.complaints.append(f"{place}: {first} and {member} in {generation}")
                self.served.discard(place)

    def revoked(self, member, places):
        with self.lock:
            self.changes[member] += bool(places)
            for place in places:
                if self.owners.get(place) == member:
                    del self.owners[place]

    def left(self, member):
        with self.lock:
            self.owners = {place: one for place, one in self.owners.items() if one != member}

    def forsake(self, member):
        """Another will take its name, and its partitions in the same generation; until it knows
        of that, it owns nothing, whatever it says."""
        self.left(member)
        with self.lock:
            self.zombies.add(member)
            self.generations = {place: one for place, one in self.generations.items()
                                if one != member}

    def took(self, member, place, offset):
        with self.lock:
            self.taken.setdefault(place, set()).add(offset)
            if member in self.zombies:
                return
            if self.owners.get(place) != member:
                self.complaints.append(f"{member} took of {place}, which is not its own")
            self.served.add(place)

    def of(self, member):
        with self.lock:
            return sorted(place for place, owner in self.owners.items() if owner == member)

    def shares(self):
        """How many partitions each owner has; those that it took nothing from yet not counted."""
        with self.lock:
            served = [owner for place, owner in self.owners.items() if place in self.served]
            return sorted(Counter(served).values())


class Member(threading.Thread):
    """A member of a group: takes records, and commits what it took, until it has to leave."""

    def __init__(self, client, ledger, name, joining):
        super().__init__(daemon=True)
        self.client, self.ledger, self.label, self.joining = client, ledger, name, joining
        self.leaving = threading.Event()
        self.failure = None
        self.start()

    def run(self):
        try:
            consumer = self.client.member(self.joining, self.ledger, self.label)
            while not self.leaving.is_set():
                for topic, partition, offset, _ in consumer.poll():
                    self.ledger.took(self.label, (topic, partition), offset)
                consumer.commit()
            self.ledger.left(self.label)
            consumer.close()
        except Exception as failure:
            self.ledger.left(self.label)
            self.failure = failure

    def leave(self):
        self.leaving.set()
        self.join(DEADLINE)
        if self.is_alive():
            raise TimeoutError(f"{self.label} does not leave")
        if self.failure:
            raise self.failure


class Flow:
    """A group over some topics, to which records go all the time while something is awaited."""

    def __init__(self, scenario, topics, group):
        self.scenario, self.client, self.group = scenario, scenario.client, group
        self.topics = topics
        self.sent = Counter()
        self.ledger = Ledger()
        self.members = []

    def join(self, name, joining):
        member = Member(self.client, self.ledger, name, joining)
        self.members.append(member)
        return member

    def send(self):
        """A record to each partition; it tells its offset itself."""
        for topic in self.topics:
            records = [Record(partition, None, str(self.sent[topic]).encode())
                       for partition in range(PARTITIONS)]
            self.client.produce(topic, records)
            self.sent[topic] += 1

    def until(self, condition, what, is_flowing=True):
        end = time.monotonic() + DEADLINE
        while not condition():
            for member in self.members:
                if member.failure:
                    raise member.failure
            if self.ledger.complaints or time.monotonic() > end:
                raise AssertionError(f"not within {DEADLINE} s: {what}; {self.state()}")
            if is_flowing:
                self.send()
            time.sleep(0.02)

    def until_shared(self, *shares):
        self.until(lambda: self.ledger.shares() == list(shares), f"shares are {shares}")

    def expected(self):
        places = ((topic, part) for topic in self.topics for part in range(PARTITIONS))
        return {place: set(range(self.sent[place[0]])) for place in places}

    def state(self):
        missing = {place: len(offsets - self.ledger.taken.get(place, set()))
                   for place, offsets in self.expected().items()}
        return f"shares {self.ledger.shares()}, missing {missing}, {self.ledger.complaints[:3]}"

    def finish(self):
        """All is taken, all leave, and what is committed is what was taken."""
        self.until(lambda: self.ledger.taken == self.expected(), "all is taken", False)
        for member in self.members:
            if not member.leaving.is_set():
                member.leave()
        check_equal("complaints", self.ledger.complaints, [])
        for topic in self.topics:
            committed = self.client.committed(self.group, topic, PARTITIONS)
            check_equal(f"committed of {topic}", committed, [self.sent[topic]] * PARTITIONS)

    def fresh(self, joining):
        """A new member of the group reads what is new, and nothing old."""
        self.ledger = Ledger()
        member = self.join("fresh", joining)
        self.send()
        new = {place: {max(offsets)} for place, offsets in self.expected().items()}
        self.until(lambda: len(self.ledger.taken) == len(new), "all new is taken", False)
        member.leave()
        check_equal("taken by a fresh member", self.ledger.taken, new)


class Groups(common.Scenario):
    """The checks of groups, beyond those of records and topics."""

    def flow(self, check, topics=1):
        names = [self.topic(f"{check}-{number}") for number in range(topics)]
        for name in names:
            self.make(name, PARTITIONS)
        return Flow(self, names, self.topic(f"{check}-group"))

    def rebalances(self, check, how):
        flow = self.flow(check)
        joining = Joining(flow.group, tuple(flow.topics), how)
        one, _ = (flow.join(name, joining) for name in ("one", "two"))
        flow.until_shared(3, 3)
        flow.join("three", joining)
        flow.until_shared(2, 2, 2)
        one.leave()
        flow.until_shared(3, 3)
        flow.finish()
        flow.fresh(joining)
        return "3 3, 2 2 2, 3 3: all taken, one owner each, committed; a fresh one: the new only"

    def groups_eager(self):
        return self.rebalances("groups-eager", "range")

    def groups_cooperative(self):
        return self.rebalances("groups-cooperative", "cooperative-sticky")

    def groups_consumer(self):
        return self.rebalances("groups-consumer", "consumer")

    def groups_static(self):
        flow = self.flow("groups-static")
        joining = Joining(flow.group, tuple(flow.topics))
        one = flow.join("one", joining._replace(instance="instance-1"))
        two = flow.join("two", joining._replace(instance="instance-2"))
        flow.until_shared(3, 3)
        held, changes = flow.ledger.of("one"), flow.ledger.changes["two"]
        one.leave()
        again = flow.join("one", joining._replace(instance="instance-1"))
        flow.until_shared(3, 3)
        check_equal("partitions after a restart", flow.ledger.of("one"), held)
        check_equal("changes of the other", flow.ledger.changes["two"], changes)
        check_equal("the restarted one", again.failure, None)
        if not self.client.heeds_fencing:
            flow.finish()
            return "restarted: the same partitions"
        flow.members.remove(two)
        flow.ledger.forsake("two")
        flow.join("late", joining._replace(instance="instance-2"))
        flow.until(lambda: two.failure, "the older of one name is fenced")
        flow.until_shared(3, 3)
        flow.finish()
        return f"restarted: the same partitions, fenced: {self.client.error_name(two.failure)}"

    def groups_pattern(self):
        flow = self.flow("groups-pattern", topics=2)
        topic = self.topic("groups-pattern")
        joining = Joining(flow.group, (), "consumer", pattern=f"^{topic}-[0-9]+$")
        flow.join("one", joining)
        flow.join("two", joining)
        flow.until_shared(6, 6)
        flow.finish()
        return "6 6"

    def groups_admin(self):
        flow = self.flow("groups-admin")
        (topic,), group, client = flow.topics, flow.group, self.client
        shown = []
        unknown = self.topic("groups-never-made")
        shown.append(f"unknown: {self.told(client.describe_group, unknown)}")
        member = flow.join("one", Joining(group, (topic,)))
        flow.until_shared(6)
        flow.until(lambda: flow.ledger.taken == flow.expected(), "all is taken", False)
        shown.append(f"with a member: {client.describe_group(group)}")
        shown.append(f"set: {self.told(client.set_offsets, group, topic, {0: 1})}")
        shown.append(f"forget: {self.told(client.forget_offset, group, topic, 0)}")
        shown.append(f"delete: {self.told(client.delete_group, group)}")
        member.leave()
        shown.append(f"without: {client.describe_group(group)}")
        shown.append(f"listed: {group in client.groups()}")
        shown.append(f"set: {self.told(client.set_offsets, group, topic, {0: 1, 5: 0})}")
        shown.append(f"forget: {self.told(client.forget_offset, group, topic, 1)}")
        committed = client.committed(group, topic, PARTITIONS)
        check_equal("untouched", committed[2:5], [flow.sent[topic]] * 3)
        kept = ["kept" if offset == flow.sent[topic] else offset for offset in committed]
        shown.append(f"committed: {kept}")
        shown.append(f"delete: {self.told(client.delete_group, group)}")
        shown.append(f"listed: {group in client.groups()}")
        shown.append(f"delete unknown: {self.told(client.delete_group, unknown)}")
        return "; ".join(shown)

    def told(self, action, *arguments):
        """What was answered, be it an error; or that the client has no such call."""
        try:
            answer = action(*arguments)
            return "done" if answer is None else answer
        except Absent:
            return "no such call"
        except (AssertionError, TimeoutError):
            raise
        except Exception as error:
            return self.client.error_name(error)

    def checks(self):
        return super().checks() | self.family(
            "groups", "eager cooperative static consumer pattern admin")
