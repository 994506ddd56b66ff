"""Transactions: what every Python client plays; kcat sees to it that nothing else is to be read."""

import time

from common import check_equal
from groups import Groups, Joining, Ledger

DEADLINE = 20.0
TIMEOUT_MS = 60_000
COMMITTED, UNCOMMITTED = "read_committed", "read_uncommitted"


class Transactions(Groups):
    """All checks: of records and topics, of groups, of transactions."""

    def producer(self, name, timeout_ms=TIMEOUT_MS):
        producer = self.client.transactional(self.topic(name), timeout_ms)
        producer.init()
        return producer

    def shown(self, topic, isolation):
        """What kcat reads of partition 0 to the end that it is shown: "offset:value" each."""
        return self.kcat(topic, isolation, "%o:%s ").split()

    def until_shown(self, topic, expected):
        """A coordinator may answer before all partitions have its decision."""
        self.settle(lambda: self.shown(topic, COMMITTED) == expected, f"shown: {expected}")

    def read_by_itself(self, topic, isolation, expected):
        """The client reads what kcat was shown."""
        group = f"{topic}-{isolation}"
        consumer = self.client.member(Joining(group, (topic,), isolation=isolation), Ledger(), "")
        seen, end = [], time.monotonic() + DEADLINE
        while len(seen) < len(expected) and time.monotonic() < end:
            seen += [f"{offset}:{value.decode()}" for *_, offset, value in consumer.poll()]
        consumer.close()
        check_equal(f"{isolation} of {topic}", seen, expected)

    def transactions_commit(self):
        topic = self.topic("transactions-commit")
        self.make(topic, 1)
        producer = self.producer("transactions-commit")
        producer.begin()
        producer.send(topic, 0, ["a", "b"])
        open_ = self.shown(topic, COMMITTED), self.shown(topic, UNCOMMITTED)
        producer.commit()
        producer.begin()
        producer.send(topic, 0, ["c"])
        producer.commit()
        producer.close()
        expected = ["0:a", "1:b", "3:c"]
        self.until_shown(topic, expected)
        for isolation in (COMMITTED, UNCOMMITTED):
            self.read_by_itself(topic, isolation, expected)
        return f"open: {open_}, then {expected}"

    def transactions_abort(self):
        topic = self.topic("transactions-abort")
        self.make(topic, 1)
        producer = self.producer("transactions-abort")
        for values, end in ((["a", "b"], producer.abort), (["c"], producer.commit),
                            (["d"], producer.abort), (["e"], producer.commit)):
            producer.begin()
            producer.send(topic, 0, values)
            end()
        producer.close()
        self.until_shown(topic, ["3:c", "7:e"])
        everything = ["0:a", "1:b", "3:c", "5:d", "7:e"]
        check_equal("uncommitted", self.shown(topic, UNCOMMITTED), everything)
        self.read_by_itself(topic, COMMITTED, ["3:c", "7:e"])
        self.read_by_itself(topic, UNCOMMITTED, everything)
        return f"committed 3:c 7:e of {everything}"

    def transactions_offsets(self):
        """Consume, transform, produce: every third transaction is aborted and done anew."""
        flow = self.flow("transactions-offsets")
        (topic,), group = flow.topics, flow.group
        output = self.topic("transactions-offsets-output")
        self.make(output, 1)
        for _ in range(10):
            flow.send()
        consumer = self.client.member(Joining(group, (topic,), isolation=COMMITTED), Ledger(), "")
        producer = self.producer("transactions-offsets")
        done, rounds, end = 0, 0, time.monotonic() + DEADLINE
        while done < 60 and time.monotonic() < end:
            batch = consumer.poll()
            if not batch:
                continue
            rounds += 1
            producer.begin()
            producer.send(output, 0, [f"{one[1]}-{one[3].decode()}" for one in batch])
            ends = {partition: offset + 1 for _, partition, offset, _ in batch}
            producer.send_offsets(group, consumer, topic, ends)
            if rounds % 3 == 0:
                producer.abort()
                for _, partition, offset, _ in reversed(batch):
                    consumer.seek(topic, partition, offset)
            else:
                producer.commit()
                done += len(batch)
        consumer.close()
        producer.close()
        wanted = sorted(f"{partition}-{index}" for partition in range(6) for index in range(10))
        found = lambda: sorted(self.kcat(output, COMMITTED, "%s ").split())
        self.settle(lambda: found() == wanted, f"each once; {found()} after {rounds} rounds")
        committed = self.client.committed(group, topic, 6)
        check_equal("committed offsets", committed, [10] * 6)
        return "60 records, each once; 10 committed of each partition"

    def transactions_fencing(self):
        topic = self.topic("transactions-fencing")
        self.make(topic, 1)
        old = self.producer("transactions-fencing")
        old.begin()
        old.send(topic, 0, ["a"])
        new = self.producer("transactions-fencing")
        refused = [self.refused(old.send, topic, 0, ["b"]), self.refused(old.commit)]
        new.begin()
        new.send(topic, 0, ["c"])
        new.commit()
        new.close()
        self.until_shown(topic, ["2:c"])
        return f"send: {refused[0]}, commit: {refused[1]}; then 2:c"

    def transactions_timeout(self):
        topic = self.topic("transactions-timeout")
        self.make(topic, 1)
        late = self.producer("transactions-timeout", 1000)
        late.begin()
        late.send(topic, 0, ["a"])
        # The marker of its end stands between, once the broker has aborted it.
        self.settle(lambda: self.client.position(topic, 0, "end") == 2, "the marker is written")
        refused = self.refused(late.commit)
        new = self.producer("transactions-timeout")
        new.begin()
        new.send(topic, 0, ["b"])
        new.commit()
        new.close()
        self.until_shown(topic, ["2:b"])
        return f"commit: {refused}; then 2:b"

    def checks(self):
        return super().checks() | self.family(
            "transactions", "commit abort offsets fencing timeout")
