package main

import (
	"errors"
	"fmt"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kgo"
)

func transactionChecks() []check {
	return []check{
		{Name: "transactions/commit", Run: func(b *broker) (string, error) { return scenario.Commit(b) }},
		{Name: "transactions/abort", Run: func(b *broker) (string, error) { return scenario.Abort(b) }},
		{Name: "transactions/offsets", Run: func(b *broker) (string, error) { return scenario.Offsets(b) }},
		{Name: "transactions/fencing", Run: func(b *broker) (string, error) { return scenario.Fencing(b) }},
		{Name: "transactions/timeout", Run: func(b *broker) (string, error) { return scenario.Timeout(b) }},
		{Name: "transactions/admin", Run: transactionAdmin},
	}
}

// transactional is a producer of transactions.
type transactional struct {
	*broker
	client *kgo.Client
}

func (b *broker) Transactional(name string, timeout time.Duration) (scenario.Producer, error) {
	client, err := b.client(
		kgo.TransactionalID(b.prefix+"-"+name), kgo.TransactionTimeout(timeout))
	if err != nil {
		return nil, err
	}
	// It is initialised when it is asked for its id.
	_, _, err = client.ProducerID(b.context)
	return &transactional{b, client}, err
}

func (t *transactional) Begin() error { return t.client.BeginTransaction() }

func (t *transactional) Send(topic string, values ...string) error {
	return t.client.ProduceSync(t.context, recordsOf(topic, 0, values)...).FirstErr()
}

func (t *transactional) Commit() error {
	return t.client.EndTransaction(t.context, kgo.TryCommit)
}

func (t *transactional) Abort() error {
	return t.client.EndTransaction(t.context, kgo.TryAbort)
}

func (t *transactional) Close() { t.client.Close() }

func (b *broker) Read(topic string, isCommitted bool, count int) ([]string, error) {
	isolation := kgo.ReadUncommitted()
	if isCommitted {
		isolation = kgo.ReadCommitted()
	}
	records, err := b.consume(topic, fromStart(1), count, kgo.FetchIsolationLevel(isolation))
	var found []string
	for _, record := range records {
		found = append(found, fmt.Sprintf("%d:%s", record.Offset, record.Value))
	}
	return found, err
}

func (b *broker) End(topic string) (int64, error) {
	ends, err := b.admin.ListEndOffsets(b.context, topic)
	if err != nil {
		return 0, err
	}
	end, _ := ends.Lookup(topic, 0)
	return end.Offset, end.Err
}

// Transform uses the session that franz-go has for it; after an abort it goes back by itself.
func (b *broker) Transform(group, input, output string, count int) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(b.bootstrap), kgo.TransactionalID(group), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(input), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequireStableFetchOffsets(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer session.Close()
	for done, round := 0, 1; done < count; round++ {
		fetches := session.PollRecords(b.context, 7)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%d of %d in %d rounds: %w", done, count, round, err)
		}
		var values []string
		for _, record := range fetches.Records() {
			values = append(values, fmt.Sprintf("%d-%s", record.Partition, record.Value))
		}
		if err := session.Begin(); err != nil {
			return err
		}
		sent := session.ProduceSync(b.context, recordsOf(output, 0, values)...).FirstErr()
		how := kgo.TransactionEndTry(round%3 != 0)
		committed, err := session.End(b.context, how)
		if err := errors.Join(sent, err); err != nil {
			return err
		}
		if committed {
			done += len(values)
		}
	}
	return nil
}

// transactionAdmin describes a producer without a transaction, with one, and one that was never made.
func transactionAdmin(b *broker) (string, error) {
	topic, err := b.topic("transactions-admin", 1)
	if err != nil {
		return "", err
	}
	producer, err := b.Transactional("transactions-admin", scenario.TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer producer.Close()
	name := b.prefix + "-transactions-admin"
	got := scenario.Answers{Name: errorName}
	describe := func(what, name string) error {
		described, err := b.admin.DescribeTransactions(b.context, name)
		one := described[name]
		got.Note(what, fmt.Sprintf("by error %s, %s epoch %d partitions %d timeout %d",
			errorName(one.Err), one.State, one.ProducerEpoch, len(one.Topics), one.TimeoutMillis))
		return err
	}
	list := func() error {
		listed, err := b.admin.ListTransactions(b.context, nil, nil)
		got.Note("listed", listed[name].State)
		return err
	}
	for _, step := range []func() error{
		func() error { return describe("new", name) },
		producer.Begin,
		func() error { return producer.Send(topic, "a") },
		func() error { return describe("open", name) },
		list,
		producer.Commit,
		func() error { return describe("unknown", name+"-never-made") },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return got.All()
}
