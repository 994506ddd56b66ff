"""kafka-python: the protocol in Python."""

import time

from kafka import (ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer,
                   OffsetAndMetadata, TopicPartition)
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, NoError, RebalanceInProgressError, for_code

import common
import groups
from common import DEADLINE, MESSAGE_BYTES_MAX, Absent, Record, Seen
from transactions import Transactions

SPECS = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST,
         "max": OffsetSpec.MAX_TIMESTAMP}


ASSIGNORS = {"range": RangePartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}


def places(partitions):
    return [(one.topic, one.partition) for one in partitions]


def offsets_of(topic, offsets):
    return {TopicPartition(topic, partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()}


class Member(ConsumerRebalanceListener):
    """A consumer in a group."""

    def __init__(self, base, joining, ledger, name):
        if joining.how not in ASSIGNORS:
            raise Absent("no new consumer protocol")
        if joining.instance:
            raise Absent("its static members make the group rebalance now and then")
        self.ledger, self.name = ledger, name
        self.consumer = KafkaConsumer(
            group_id=joining.group,
            group_instance_id=joining.instance,
            partition_assignment_strategy=[ASSIGNORS[joining.how]],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            session_timeout_ms=groups.SESSION_MS,
            heartbeat_interval_ms=groups.HEARTBEAT_MS,
            fetch_max_wait_ms=50,
            isolation_level=joining.isolation,
            **base,
        )
        self.consumer.subscribe(list(joining.topics), listener=self)

    # No call that waits is allowed here; what was taken last is committed by then.
    def on_partitions_revoked(self, revoked):
        self.ledger.revoked(self.name, places(revoked))

    def on_partitions_assigned(self, assigned):
        generation = self.consumer.group_metadata().generation_id
        self.ledger.assigned(self.name, places(assigned), generation)

    def on_partitions_lost(self, lost):
        self.ledger.revoked(self.name, places(lost))

    def poll(self):
        polled = self.consumer.poll(timeout_ms=50, max_records=50)
        return [(one.topic, one.partition, one.offset, one.value)
                for messages in polled.values() for one in messages]

    def commit(self):
        try:
            self.consumer.commit()
        except (CommitFailedError, RebalanceInProgressError):
            pass

    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    def close(self):
        self.consumer.close(autocommit=False)


class Transactional:
    """A producer of transactions."""

    def __init__(self, base, name, timeout_ms):
        self.producer = KafkaProducer(transactional_id=name, transaction_timeout_ms=timeout_ms,
                                      **base)
        self.init = self.producer.init_transactions
        self.begin = self.producer.begin_transaction
        self.commit = self.producer.commit_transaction
        self.abort = self.producer.abort_transaction

    def send(self, topic, partition, values):
        futures = [self.producer.send(topic, value.encode(), partition=partition)
                   for value in values]
        self.producer.flush(timeout=DEADLINE)
        for future in futures:
            future.get(timeout=DEADLINE)

    def send_offsets(self, group, consumer, topic, offsets):
        metadata = consumer.consumer.group_metadata()
        self.producer.send_offsets_to_transaction(offsets_of(topic, offsets), metadata)

    def close(self):
        self.producer.close(timeout=DEADLINE)


class KafkaPython(common.Client):
    # It refuses to send them.
    has_null_headers = False

    def __init__(self, bootstrap):
        self.base = {"bootstrap_servers": bootstrap}
        self.admin = KafkaAdminClient(**self.base)
        self.producers = {}
        self.consumer = KafkaConsumer(
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            check_crcs=True,
            fetch_max_wait_ms=50,
            max_partition_fetch_bytes=MESSAGE_BYTES_MAX,
            **self.base,
        )

    def close(self):
        for producer in self.producers.values():
            producer.close(timeout=DEADLINE)
        self.consumer.close()
        self.admin.close()

    def create(self, topic, partitions, configs=None, validate_only=False):
        new = {"num_partitions": partitions, "replication_factor": 1, "configs": configs or {}}
        self.admin.create_topics({topic: new}, validate_only=validate_only)

    def producer(self, codec, acks, idempotence):
        options = (codec, acks, idempotence)
        if options not in self.producers:
            self.producers[options] = KafkaProducer(
                compression_type=None if codec == "none" else codec,
                acks=acks if acks == "all" else int(acks),
                enable_idempotence=idempotence,
                # A retry must not overtake; only an idempotent producer sees to that itself.
                max_in_flight_requests_per_connection=5 if idempotence else 1,
                max_request_size=MESSAGE_BYTES_MAX,
                linger_ms=5,
                **self.base,
            )
        return self.producers[options]

    def produce(self, topic, records, codec="none", acks="all", idempotence=False):
        producer = self.producer(codec, acks, idempotence)
        futures = [
            producer.send(topic, key=record.key, value=record.value, partition=record.partition,
                          headers=list(record.headers), timestamp_ms=record.timestamp)
            for record in records
        ]
        producer.flush(timeout=DEADLINE)
        return [future.get(timeout=DEADLINE).offset for future in futures]

    def assign(self, topic, partitions):
        assigned = [TopicPartition(topic, partition) for partition in partitions]
        self.consumer.assign(assigned)
        return assigned

    def seek(self, partition, where):
        if where == "beginning":
            self.consumer.seek_to_beginning(partition)
        elif where == "end":
            self.consumer.seek_to_end(partition)
        else:
            self.consumer.seek(partition, where)

    def read(self, topic, starts, count):
        for partition in self.assign(topic, starts):
            self.seek(partition, starts[partition.partition])
        seen, end = [], time.monotonic() + DEADLINE
        while len(seen) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"read {len(seen)} of {count}")
            polled = self.consumer.poll(timeout_ms=100, max_records=count - len(seen))
            for messages in polled.values():
                for message in messages:
                    record = Record(message.partition, message.key, message.value,
                                    tuple(message.headers), message.timestamp)
                    seen.append(Seen(message.offset, record))
        return seen

    def position(self, topic, partition, where):
        (assigned,) = self.assign(topic, [partition])
        self.seek(assigned, where)
        return self.consumer.position(assigned, timeout_ms=int(DEADLINE * 1000))

    def offsets_at(self, topic, partition, timestamps):
        where = TopicPartition(topic, partition)
        found = [self.consumer.offsets_for_times({where: time})[where] for time in timestamps]
        return [one and one.offset for one in found]

    def topics(self):
        return self.admin.list_topics()

    def describe(self, topic):
        (described,) = self.admin.describe_topics([topic])
        if described["error_code"]:
            raise for_code(described["error_code"])()
        partitions = sorted(described["partitions"], key=lambda one: one["partition_index"])
        return [(one["partition_index"], one["leader_id"] >= 0, len(one["replica_nodes"]),
                 len(one["isr_nodes"])) for one in partitions]

    def configs(self, topic, names):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, list(names))
        found = self.admin.describe_configs([resource], config_filter="all")["topic"][topic]
        return {name: f"{found[name]['value']} {found[name]['config_source']}" for name in names}

    def alter(self, topic, name, value):
        change = ("DELETE", None) if value is None else ("SET", value)
        self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: change})])

    def grow(self, topic, total):
        self.admin.create_partitions({topic: total})

    def list_offset(self, topic, partition, which):
        where = TopicPartition(topic, partition)
        return self.admin.list_partition_offsets({where: SPECS.get(which, which)})[where].offset

    def delete_records(self, topic, partition, before):
        where = TopicPartition(topic, partition)
        return self.admin.delete_records({where: before})[where]["low_watermark"]

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def cluster(self):
        cluster = self.admin.describe_cluster()
        ids = [broker["broker_id"] for broker in cluster["brokers"]]
        return bool(cluster["cluster_id"]), len(ids), cluster["controller_id"] in ids

    def member(self, joining, ledger, name):
        return Member(self.base, joining, ledger, name)

    def committed(self, group, topic, partitions):
        found = self.admin.list_group_offsets({group: None})[group]
        offsets = {one.partition: found[one].offset for one in found if one.topic == topic}
        return [offsets.get(partition) for partition in range(partitions)]

    def groups(self):
        return [one["group_id"] for one in self.admin.list_groups()]

    def describe_group(self, group):
        found = self.admin.describe_groups([group])[group]
        shown = f"{found['group_state']} {found['protocol_type']} {found['protocol_data']}"
        return f"{shown} {len(found['members'])}, error {found['error'] is not None}"

    def check_each(self, answers):
        for error in answers.values():
            if error is not NoError:
                raise error()

    def set_offsets(self, group, topic, offsets):
        self.check_each(self.admin.alter_group_offsets(group, offsets_of(topic, offsets)))

    def forget_offset(self, group, topic, partition):
        asked = [TopicPartition(topic, partition)]
        self.check_each(self.admin.delete_group_offsets(group, asked))

    def delete_group(self, group):
        answer = self.admin.delete_groups([group])[group]
        return None if answer == "OK" else answer

    def transactional(self, name, timeout_ms):
        return Transactional(self.base, name, timeout_ms)

    def error_name(self, error):
        return type(error).__name__


if __name__ == "__main__":
    common.main(KafkaPython, Transactions)
