"""kafka-python: the protocol in Python."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import for_code

import common
from common import DEADLINE, MESSAGE_BYTES_MAX, Record, Seen

SPECS = {"earliest": OffsetSpec.EARLIEST, "latest": OffsetSpec.LATEST,
         "max": OffsetSpec.MAX_TIMESTAMP}


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

    def error_name(self, error):
        return type(error).__name__


if __name__ == "__main__":
    common.main(KafkaPython)
