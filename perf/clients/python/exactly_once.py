"""What `cargo perf exactly-once` runs with librdkafka, by confluent-kafka.

usage: exactly_once.py create   --bootstrap HOST:PORT --topic NAME:PARTITIONS ...
       exactly_once.py produce  --bootstrap HOST:PORT --topic NAME --file FILE --rate LINES_A_SECOND
       exactly_once.py follow   --bootstrap HOST:PORT --topic NAME
       exactly_once.py read     --bootstrap HOST:PORT --topic NAME
       exactly_once.py transfer --bootstrap HOST:PORT --source NAME --target NAME --group NAME
                                --transactional-id NAME

`produce` sends lines (key, tab, value) once each until the end of the file or SIGTERM, and then
says how many. `follow` prints what is committed as it comes, `read` up to where it ends now:
partition, offset, key, value. `transfer` is what Transfers.java is, on librdkafka, which speaks the
first version of transactions. `follow` and `transfer` run until they are killed.
"""

import argparse
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka.admin import AdminClient, NewTopic

WAIT = 60.0
COMMITS_MAX = 5


def base(options):
    """Settings with which a client comes back soon to a broker that was away."""
    return {
        "bootstrap.servers": options.bootstrap,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 500,
        # By default librdkafka forgets all brokers when none is there, and then waits for ever, in
        # send_offsets_to_transaction, for one that it forgot: confluentinc/librdkafka issue 5511.
        "metadata.recovery.strategy": "none",
    }


def say(text):
    print(text, file=sys.stderr, flush=True)


def create(options):
    topics = []
    for text in options.topic:
        name, partitions = text.split(":")
        topics.append(NewTopic(name, int(partitions), 1))
    admin = AdminClient(base(options))
    for future in admin.create_topics(topics).values():
        future.result(timeout=WAIT)


def produce(options):
    stopped, failures, sent = [], [], 0
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    producer = Producer(base(options) | {
        "enable.idempotence": True,
        "message.timeout.ms": 0,  # never given up
        "linger.ms": 5,
    })

    def delivered(error, _message):
        if error is not None:
            failures.append(error)

    began = time.monotonic()
    with open(options.file, encoding="utf-8") as lines:
        for line in lines:
            key, value = line.rstrip("\n").split("\t")
            producer.produce(options.topic[0], key=key, value=value, on_delivery=delivered)
            sent += 1
            while not stopped and sent > (time.monotonic() - began) * options.rate:
                producer.poll(0.01)
            if stopped or failures:
                break
    left = producer.flush(WAIT)
    if failures or left:
        raise RuntimeError(f"{left} lines are not acknowledged; {failures[:1]}")
    print(sent, flush=True)


def read(options, is_endless):
    consumer = Consumer(base(options) | {
        "group.id": "unused: partitions are assigned",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "check.crcs": True,
    })
    topic = options.topic[0]
    partitions = consumer.list_topics(topic, timeout=WAIT).topics[topic].partitions
    consumer.assign([TopicPartition(topic, one, OFFSET_BEGINNING) for one in partitions])
    ended = set()
    while is_endless or len(ended) < len(partitions):
        for message in consumer.consume(1000, 0.1):
            error = message.error()
            if error is None:
                ended.discard(message.partition())
                fields = (message.partition(), message.offset(), text(message.key()),
                          text(message.value()))
                print(*fields, sep="\t")
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            elif error.code() == KafkaError._AUTO_OFFSET_RESET or error.fatal():
                raise KafkaException(error)
            else:
                say(f"reading: {error}")
        sys.stdout.flush()
    consumer.close()


def text(content):
    return "null" if content is None else content.decode()


class Transfers:
    def __init__(self, options):
        self.options = options
        self.consumer = Consumer(base(options) | {
            "group.id": options.group,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
            "partition.assignment.strategy": "range",
        })
        self.consumer.subscribe([options.source])
        self.renew()

    def step(self):
        messages = []
        for message in self.consumer.consume(100, 0.2):
            if message.error() is None:
                messages.append(message)
            else:
                say(f"consuming: {message.error()}")
        if not messages:
            return
        try:
            self.apply(messages)
        except KafkaException as failure:
            say(f"a transaction failed: {failure}")
            self.settle(failure)
            self.rewind()

    def apply(self, messages):
        places = {}
        self.producer.begin_transaction()
        for message in messages:
            transfer, source, target, amount = message.value().decode().split(" ")
            for account, moved in ((source, "-" + amount), (target, amount)):
                movement = f"{transfer} {account} {moved} {self.options.transactional_id}"
                self.producer.produce(self.options.target, key=account, value=movement)
            places[message.partition()] = message.offset() + 1
        offsets = [TopicPartition(self.options.source, partition, offset)
                   for partition, offset in places.items()]
        group = self.consumer.consumer_group_metadata()
        self.insist(lambda: self.producer.send_offsets_to_transaction(offsets, group))
        self.insist(self.producer.commit_transaction)

    @staticmethod
    def insist(call):
        """What failed for a while is to be called again: its outcome is not known yet."""
        for attempt in range(1, COMMITS_MAX + 1):
            try:
                return call()
            except KafkaException as failure:
                if not failure.args[0].retriable() or attempt == COMMITS_MAX:
                    raise

    def settle(self, failure):
        """Ends the transaction, so that afterwards either all of it counts or nothing."""
        try:
            if failure.args[0].txn_requires_abort():
                return self.insist(self.producer.abort_transaction)
        except KafkaException as fatal:
            say(f"a producer failed: {fatal}")
        self.producer.purge()
        self.renew()

    def renew(self):
        self.producer = Producer(base(self.options) | {
            "transactional.id": self.options.transactional_id,
            "transaction.timeout.ms": 10000,
        })
        while True:
            try:
                return self.producer.init_transactions(WAIT)
            except KafkaException as failure:
                if not failure.args[0].retriable():
                    raise
                say(f"no producer id yet: {failure}")

    def rewind(self):
        """Goes back to what is committed; partitions that leave meanwhile are no longer ours."""
        while True:
            try:
                for place in self.consumer.committed(self.consumer.assignment(), WAIT):
                    if place.error is not None:
                        raise KafkaException(place.error)
                    if place.offset < 0:
                        place.offset = OFFSET_BEGINNING
                    self.seek(place)
                return
            except KafkaException as failure:
                say(f"no committed offsets yet: {failure}")
                time.sleep(0.1)

    def seek(self, place):
        """Seeking fails for a partition that has left, and for one whose position is not known yet:
        it will begin where it is committed anyway."""
        try:
            self.consumer.seek(place)
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError._STATE:
                raise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=["create", "produce", "follow", "read", "transfer"])
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", nargs="+")
    parser.add_argument("--file")
    parser.add_argument("--rate", type=float)
    for name in ("source", "target", "group", "transactional-id"):
        parser.add_argument("--" + name)
    options = parser.parse_args()
    match options.program:
        case "create":
            create(options)
        case "produce":
            produce(options)
        case "transfer":
            transfers = Transfers(options)
            while True:
                transfers.step()
        case program:
            read(options, program == "follow")


main()
