"""confluent-kafka: librdkafka from Python."""

import time

from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException,
                             Producer, TopicCollection, TopicPartition, OFFSET_BEGINNING,
                             OFFSET_END)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   ConfigSource, NewPartitions, NewTopic, OffsetSpec, ResourceType)

import common
import groups
from common import DEADLINE, MESSAGE_BYTES_MAX, Record, Seen
from transactions import Transactions

WHERE = {"beginning": OFFSET_BEGINNING, "end": OFFSET_END}
SPECS = {
    "earliest": OffsetSpec.earliest,
    "latest": OffsetSpec.latest,
    "max": OffsetSpec.max_timestamp,
}


# What a member is told while its group changes; it will be given its partitions anew.
REBALANCING = {"ILLEGAL_GENERATION", "REBALANCE_IN_PROGRESS", "UNKNOWN_MEMBER_ID",
               "STALE_MEMBER_EPOCH", "_ASSIGNMENT_LOST", "_NO_OFFSET"}
# How many messages a member takes before it commits.
COMMIT_EVERY = 20


def error_name(error):
    first = error.args[0] if error.args else None
    if not isinstance(first, KafkaError):
        return f"{error}"
    # Who polls is told of the cause in words only.
    is_fenced = first.code() == KafkaError._FATAL and "group.instance.id" in first.str()
    return "FENCED_INSTANCE_ID" if is_fenced else first.name()


def places(partitions):
    return [(one.topic, one.partition) for one in partitions]


class Member:
    """A consumer in a group."""

    def __init__(self, base, joining, ledger, name):
        settings = {"group.id": joining.group, "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "fetch.wait.max.ms": 50,
                    "isolation.level": joining.isolation}
        if joining.how == "consumer":
            settings["group.protocol"] = "consumer"
        else:
            settings |= {"partition.assignment.strategy": joining.how,
                         "session.timeout.ms": groups.SESSION_MS,
                         "heartbeat.interval.ms": groups.HEARTBEAT_MS}
        if joining.instance:
            settings["group.instance.id"] = joining.instance
        self.taken = 0
        self.consumer = Consumer(base | settings)

        def revoked(_, partitions):
            self.commit(always=True)
            ledger.revoked(name, places(partitions))

        self.consumer.subscribe(
            [joining.pattern] if joining.pattern else list(joining.topics),
            on_assign=lambda _, partitions: ledger.assigned(name, places(partitions)),
            on_revoke=revoked,
            on_lost=lambda _, partitions: ledger.revoked(name, places(partitions)))

    def poll(self):
        message = self.consumer.poll(0.05)
        if message is None:
            return []
        if message.error():
            raise KafkaException(message.error())
        self.taken += 1
        return [(message.topic(), message.partition(), message.offset(), message.value())]

    def commit(self, always=False):
        if not always and self.taken % COMMIT_EVERY:
            return
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error_name(error) not in REBALANCING:
                raise

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition, offset))

    def close(self):
        self.commit(always=True)
        self.consumer.close()


class Transactional:
    """A producer of transactions."""

    def __init__(self, base, name, timeout_ms):
        settings = {"transactional.id": name, "transaction.timeout.ms": timeout_ms}
        self.producer = Producer(base | settings)
        self.begin = self.producer.begin_transaction

    def init(self):
        self.producer.init_transactions(DEADLINE)

    def send(self, topic, partition, values):
        failures = []
        for value in values:
            self.producer.produce(topic, value, partition=partition,
                                  on_delivery=lambda error, _: error and failures.append(error))
        left = self.producer.flush(DEADLINE)
        if failures or left:
            raise KafkaException(failures[0]) if failures else TimeoutError("not delivered")

    def send_offsets(self, group, consumer, topic, offsets):
        positions = [TopicPartition(topic, *one) for one in offsets.items()]
        metadata = consumer.consumer.consumer_group_metadata()
        self.producer.send_offsets_to_transaction(positions, metadata, DEADLINE)

    def commit(self):
        self.producer.commit_transaction(DEADLINE)

    def abort(self):
        self.producer.abort_transaction(DEADLINE)

    def close(self):
        self.producer.flush(DEADLINE)


class Confluent(common.Client):
    def __init__(self, bootstrap):
        self.base = {"bootstrap.servers": bootstrap}
        self.admin = AdminClient(self.base)
        self.producers = {}
        self.consumer = Consumer(self.base | {
            "group.id": "unused: partitions are assigned",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "allow.auto.create.topics": False,
            "check.crcs": True,
            "fetch.wait.max.ms": 50,
            "fetch.message.max.bytes": MESSAGE_BYTES_MAX,
        })

    def close(self):
        self.consumer.close()

    def one(self, futures):
        (future,) = futures.values()
        return future.result(timeout=DEADLINE)

    def create(self, topic, partitions, configs=None, validate_only=False):
        new = NewTopic(topic, partitions, 1, config=configs or {})
        self.one(self.admin.create_topics([new], validate_only=validate_only))

    def producer(self, codec, acks, idempotence):
        options = (codec, acks, idempotence)
        if options not in self.producers:
            self.producers[options] = Producer(self.base | {
                "compression.type": codec,
                "acks": acks,
                "enable.idempotence": idempotence,
                "message.max.bytes": MESSAGE_BYTES_MAX,
                "delivery.timeout.ms": int(DEADLINE * 1000),
            })
        return self.producers[options]

    def produce(self, topic, records, codec="none", acks="all", idempotence=False):
        producer = self.producer(codec, acks, idempotence)
        # Asking first spares a second until its next look for topics that it does not know yet.
        producer.list_topics(topic, timeout=DEADLINE)
        offsets, failures = {}, []

        def note(index):
            def delivered(error, message):
                if error is None:
                    offsets[index] = message.offset()
                else:
                    failures.append(error)
            return delivered

        for index, record in enumerate(records):
            timestamp = {} if record.timestamp is None else {"timestamp": record.timestamp}
            producer.produce(topic, key=record.key, value=record.value,
                             partition=record.partition, headers=list(record.headers),
                             on_delivery=note(index), **timestamp)
        left = producer.flush(DEADLINE)
        if failures:
            raise KafkaException(failures[0])
        if left:
            raise TimeoutError(f"{left} messages are not delivered")
        return [offsets[index] for index in range(len(records))]

    def read(self, topic, starts, count):
        self.consumer.list_topics(topic, timeout=DEADLINE)
        self.consumer.assign([TopicPartition(topic, partition, WHERE.get(start, start))
                              for partition, start in starts.items()])
        seen, end = [], time.monotonic() + DEADLINE
        while len(seen) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"read {len(seen)} of {count}")
            for message in self.consumer.consume(count - len(seen), 0.1):
                if message.error():
                    raise KafkaException(message.error())
                record = Record(message.partition(), message.key(), message.value(),
                                tuple(message.headers() or ()), message.timestamp()[1])
                seen.append(Seen(message.offset(), record))
        self.consumer.unassign()
        return seen

    def position(self, topic, partition, where):
        low, high = self.consumer.get_watermark_offsets(
            TopicPartition(topic, partition), timeout=DEADLINE)
        return low if where == "beginning" else high

    def offsets_at(self, topic, partition, timestamps):
        def ask(timestamp):
            question = [TopicPartition(topic, partition, timestamp)]
            (answer,) = self.consumer.offsets_for_times(question, timeout=DEADLINE)
            if answer.error:
                raise KafkaException(answer.error)
            return None if answer.offset == OFFSET_END else answer.offset
        return [ask(timestamp) for timestamp in timestamps]

    def topics(self):
        return list(self.admin.list_topics(timeout=DEADLINE).topics)

    def describe(self, topic):
        described = self.one(self.admin.describe_topics(TopicCollection([topic])))
        return [(one.id, one.leader is not None, len(one.replicas), len(one.isr))
                for one in described.partitions]

    def configs(self, topic, names):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        found = self.one(self.admin.describe_configs([resource]))
        source = {name: ConfigSource(found[name].source).name for name in names}
        return {name: f"{found[name].value} {source[name]}" for name in names}

    def alter(self, topic, name, value):
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value, incremental_operation=operation)
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
        self.one(self.admin.incremental_alter_configs([resource]))

    def grow(self, topic, total):
        self.one(self.admin.create_partitions([NewPartitions(topic, total)]))

    def list_offset(self, topic, partition, which):
        spec = SPECS[which]() if which in SPECS else OffsetSpec.for_timestamp(which)
        return self.one(self.admin.list_offsets({TopicPartition(topic, partition): spec})).offset

    def delete_records(self, topic, partition, before):
        before = OFFSET_END if before == -1 else before
        question = [TopicPartition(topic, partition, before)]
        return self.one(self.admin.delete_records(question)).low_watermark

    def delete(self, topic):
        self.one(self.admin.delete_topics([topic]))

    def cluster(self):
        cluster = self.admin.describe_cluster().result(timeout=DEADLINE)
        ids = [node.id for node in cluster.nodes]
        return bool(cluster.cluster_id), len(ids), cluster.controller.id in ids

    def member(self, joining, ledger, name):
        return Member(self.base, joining, ledger, name)

    def committed(self, group, topic, partitions):
        asked = [TopicPartition(topic, partition) for partition in range(partitions)]
        question = [ConsumerGroupTopicPartitions(group, asked)]
        answer = self.one(self.admin.list_consumer_group_offsets(question))
        return [one.offset if one.offset >= 0 else None for one in answer.topic_partitions]

    def groups(self):
        listed = self.admin.list_consumer_groups().result(timeout=DEADLINE)
        return [one.group_id for one in listed.valid]

    def describe_group(self, group):
        found = self.one(self.admin.describe_consumer_groups([group]))
        held = [len(one.assignment.topic_partitions) for one in found.members]
        return f"{found.state.name} {found.type.name} {found.partition_assignor} {held}"

    def set_offsets(self, group, topic, offsets):
        wanted = [TopicPartition(topic, *one) for one in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, wanted)]
        answer = self.one(self.admin.alter_consumer_group_offsets(request))
        for one in answer.topic_partitions:
            if one.error:
                raise KafkaException(one.error)

    def delete_group(self, group):
        self.one(self.admin.delete_consumer_groups([group]))

    def transactional(self, name, timeout_ms):
        return Transactional(self.base, name, timeout_ms)

    def error_name(self, error):
        return error_name(error)


if __name__ == "__main__":
    common.main(Confluent, Transactions)
