"""aiokafka: the protocol in Python with asyncio, driven from outside its event loop."""

import asyncio
import time

from aiokafka import (AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener,
                      TopicPartition)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, for_code

import common
import groups
from common import DEADLINE, MESSAGE_BYTES_MAX, Absent, Record, Seen
from transactions import Transactions

# Seconds in which a listener hears of its new assignment.
TOLD_WITHIN = 5.0


def check_codes(named_errors):
    """Raises the first error among (name, code, message) answers."""
    for name, code, message, *_ in named_errors:
        if code:
            raise for_code(code)(f"{name}: {message}")


def places(partitions):
    return [(one.topic, one.partition) for one in partitions]


class Member(ConsumerRebalanceListener):
    """A consumer in a group, in an event loop of its own."""

    def __init__(self, base, joining, ledger, name):
        if joining.how != "range":
            raise Absent("no cooperative assignor, no new consumer protocol")
        self.ledger, self.name = ledger, name
        self.told = set()
        self.is_handing = False
        self.runner = asyncio.Runner()
        self.wait(self.start(base, joining))

    async def start(self, base, joining):
        self.consumer = AIOKafkaConsumer(
            group_id=joining.group,
            group_instance_id=joining.instance,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=groups.SESSION_MS,
            heartbeat_interval_ms=groups.HEARTBEAT_MS,
            fetch_max_wait_ms=50,
            isolation_level=joining.isolation,
            **base,
        )
        self.consumer.subscribe(list(joining.topics), listener=self)
        await self.consumer.start()

    def wait(self, coroutine):
        """Whoever calls again has taken what was handed out."""
        self.is_handing = False
        return self.runner.run(asyncio.wait_for(coroutine, groups.DEADLINE))

    async def on_partitions_revoked(self, revoked):
        """The loop turns a few times more after `polled` has ended, and may come here before its
        records are taken: the group waits for those, as a Java client's does."""
        while self.is_handing:
            await asyncio.sleep(0.001)
        self.told -= set(revoked)
        self.ledger.revoked(self.name, places(revoked))

    async def on_partitions_assigned(self, assigned):
        self.told |= set(assigned)
        self.ledger.assigned(self.name, places(assigned))

    async def polled(self):
        """What came. This client may hand out records of a new assignment before it tells its
        listener of that: such are kept back until it has."""
        polled = await self.consumer.getmany(timeout_ms=50, max_records=50)
        self.is_handing = bool(polled)
        end = time.monotonic() + TOLD_WITHIN
        while not self.told.issuperset(polled) and time.monotonic() < end:
            await asyncio.sleep(0.001)
        return polled

    def poll(self):
        polled = self.wait(self.polled())
        return [(one.topic, one.partition, one.offset, one.value)
                for messages in polled.values() for one in messages]

    def commit(self):
        try:
            self.wait(self.consumer.commit())
        except CommitFailedError:
            pass

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def close(self):
        self.wait(self.consumer.stop())
        self.runner.close()


class Transactional:
    """A producer of transactions, in the event loop of its client."""

    def __init__(self, client, name, timeout_ms):
        self.wait = client.wait

        async def make():
            return AIOKafkaProducer(transactional_id=name, transaction_timeout_ms=timeout_ms,
                                    **client.base)

        self.producer = self.wait(make())

    def init(self):
        self.wait(self.producer.start())

    def begin(self):
        self.wait(self.producer.begin_transaction())

    def commit(self):
        self.wait(self.producer.commit_transaction())

    def abort(self):
        self.wait(self.producer.abort_transaction())

    def close(self):
        self.wait(self.producer.stop())

    def send(self, topic, partition, values):
        async def send():
            for value in values:
                await self.producer.send_and_wait(topic, value.encode(), partition=partition)

        self.wait(send())

    def send_offsets(self, group, consumer, topic, offsets):
        positions = {TopicPartition(topic, one): offset for one, offset in offsets.items()}
        self.wait(self.producer.send_offsets_to_transaction(positions, group))


class Aiokafka(common.Client):
    # It cannot encode them.
    has_null_headers = False
    has_creating_description = True
    # It joins again, so that two of one name fence each other for ever.
    heeds_fencing = False

    def __init__(self, bootstrap):
        self.runner = asyncio.Runner()
        self.base = {"bootstrap_servers": bootstrap}
        self.producers = {}
        self.admin, self.consumer = self.wait(self.start())

    async def start(self):
        admin = AIOKafkaAdminClient(**self.base)
        consumer = AIOKafkaConsumer(
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            check_crcs=True,
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
            **self.base,
        )
        await admin.start()
        await consumer.start()
        return admin, consumer

    def wait(self, coroutine):
        return self.runner.run(asyncio.wait_for(coroutine, DEADLINE))

    def close(self):
        async def stop():
            for producer in self.producers.values():
                await producer.stop()
            await self.consumer.stop()
            await self.admin.close()

        self.wait(stop())
        self.runner.close()

    def create(self, topic, partitions, configs=None, validate_only=False):
        new = NewTopic(topic, partitions, 1, topic_configs=configs or {})
        answer = self.wait(self.admin.create_topics([new], validate_only=validate_only))
        check_codes(answer.topic_errors)

    async def producer(self, codec, acks, idempotence):
        options = (codec, acks, idempotence)
        if options not in self.producers:
            producer = AIOKafkaProducer(
                compression_type=None if codec == "none" else codec,
                acks=acks if acks == "all" else int(acks),
                enable_idempotence=idempotence,
                max_request_size=MESSAGE_BYTES_MAX,
                linger_ms=5,
                **self.base,
            )
            await producer.start()
            self.producers[options] = producer
        return self.producers[options]

    def produce(self, topic, records, codec="none", acks="all", idempotence=False):
        async def send():
            producer = await self.producer(codec, acks, idempotence)
            futures = [
                await producer.send(topic, key=record.key, value=record.value,
                                    partition=record.partition, headers=list(record.headers),
                                    timestamp_ms=record.timestamp)
                for record in records
            ]
            return await asyncio.gather(*futures)

        return [-1 if told is None else told.offset for told in self.wait(send())]

    async def assign(self, topic, partitions):
        assigned = [TopicPartition(topic, partition) for partition in partitions]
        self.consumer.assign(assigned)
        return assigned

    async def seek(self, partition, where):
        if where == "beginning":
            await self.consumer.seek_to_beginning(partition)
        elif where == "end":
            await self.consumer.seek_to_end(partition)
        else:
            self.consumer.seek(partition, where)

    def read(self, topic, starts, count):
        async def read():
            for partition in await self.assign(topic, starts):
                await self.seek(partition, starts[partition.partition])
            seen = []
            while len(seen) < count:
                message = await self.consumer.getone()
                record = Record(message.partition, message.key, message.value,
                                tuple(message.headers), message.timestamp)
                seen.append(Seen(message.offset, record))
            return seen

        return self.wait(read())

    def position(self, topic, partition, where):
        async def position():
            (assigned,) = await self.assign(topic, [partition])
            await self.seek(assigned, where)
            return await self.consumer.position(assigned)

        return self.wait(position())

    def offsets_at(self, topic, partition, timestamps):
        where = TopicPartition(topic, partition)

        async def ask(timestamp):
            found = await self.consumer.offsets_for_times({where: timestamp})
            return found[where] and found[where].offset

        return [self.wait(ask(timestamp)) for timestamp in timestamps]

    def topics(self):
        return self.wait(self.admin.list_topics())

    def describe(self, topic):
        (described,) = self.wait(self.admin.describe_topics([topic]))
        if described["error_code"]:
            raise for_code(described["error_code"])(topic)
        partitions = sorted(described["partitions"], key=lambda one: one["partition"])
        return [(one["partition"], one["leader"] >= 0, len(one["replicas"]), len(one["isr"]))
                for one in partitions]

    def configs(self, topic, names):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(names))
        (answer,) = self.wait(self.admin.describe_configs([resource]))
        ((code, message, _, name, entries),) = answer.resources
        check_codes([(name, code, message)])
        # Name, value, whether it is read-only, source.
        return {entry[0]: f"{entry[1]} {entry[3]}" for entry in sorted(entries)}

    def alter(self, topic, name, value):
        # It has AlterConfigs only, which takes back whatever it does not name.
        configs = {} if value is None else {name: value}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        (answer,) = self.wait(self.admin.alter_configs([resource]))
        check_codes([(topic, code, message) for code, message, *_ in answer.resources])

    def grow(self, topic, total):
        self.wait(self.admin.create_partitions({topic: NewPartitions(total)}))

    def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        return self.wait(self.admin.delete_records({where: RecordsToDelete(before)}))[where]

    def delete(self, topic):
        answer = self.wait(self.admin.delete_topics([topic]))
        check_codes((name, code, "") for name, code, *_ in answer.topic_error_codes)

    def cluster(self):
        cluster = self.wait(self.admin.describe_cluster())
        ids = [broker["node_id"] for broker in cluster["brokers"]]
        return bool(cluster["cluster_id"]), len(ids), cluster["controller_id"] in ids

    def member(self, joining, ledger, name):
        return Member(self.base, joining, ledger, name)

    def committed(self, group, topic, partitions):
        found = self.wait(self.admin.list_consumer_group_offsets(group))
        offsets = {one.partition: found[one].offset for one in found if one.topic == topic}
        return [offsets.get(partition) for partition in range(partitions)]

    def groups(self):
        return [name for name, *_ in self.wait(self.admin.list_consumer_groups())]

    def describe_group(self, group):
        (answer,) = self.wait(self.admin.describe_consumer_groups([group]))
        ((code, _, state, kind, protocol, members, *_),) = answer.groups
        check_codes([(group, code, "")])
        return f"{state} {kind} {protocol} {len(members)}"

    def transactional(self, name, timeout_ms):
        return Transactional(self, name, timeout_ms)

    def error_name(self, error):
        return type(error).__name__


if __name__ == "__main__":
    common.main(Aiokafka, Transactions)
