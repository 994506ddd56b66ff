package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
)

func transactionChecks() []check {
	return []check{
		{Name: "transactions/commit", Run: func(b *broker) (string, error) { return scenario.Commit(b) }},
		{Name: "transactions/abort", Run: func(b *broker) (string, error) { return scenario.Abort(b) }},
		{Name: "transactions/offsets", Run: func(b *broker) (string, error) { return scenario.Offsets(b) }},
		{Name: "transactions/fencing", Run: func(b *broker) (string, error) { return scenario.Fencing(b) }},
		{Name: "transactions/timeout", Run: func(b *broker) (string, error) { return scenario.Timeout(b) }},
	}
}

// transactional is a producer of transactions.
type transactional struct{ sarama.SyncProducer }

func (b *broker) transactional(name string, timeout time.Duration) (*transactional, error) {
	config := configuration()
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1 // sarama allows no more with idempotence
	config.Producer.Transaction.ID = name
	config.Producer.Transaction.Timeout = timeout
	producer, err := sarama.NewSyncProducer([]string{b.bootstrap}, config)
	return &transactional{producer}, err
}

func (b *broker) Transactional(name string, timeout time.Duration) (scenario.Producer, error) {
	return b.transactional(b.prefix+"-"+name, timeout)
}

func (t *transactional) Begin() error { return t.BeginTxn() }

func (t *transactional) Send(topic string, values ...string) error {
	return firstOf(t.SendMessages(messagesOf(topic, 0, values)))
}

func (t *transactional) Commit() error { return t.CommitTxn() }

func (t *transactional) Abort() error { return t.AbortTxn() }

func (t *transactional) Close() { _ = t.SyncProducer.Close() }

func (b *broker) Read(topic string, isCommitted bool, count int) ([]string, error) {
	config := configuration()
	if isCommitted {
		config.Consumer.IsolationLevel = sarama.ReadCommitted
	}
	messages, err := b.consumeWith(config, topic, fromStart(1), count)
	var found []string
	for _, message := range messages {
		found = append(found, fmt.Sprintf("%d:%s", message.Offset, message.Value))
	}
	return found, err
}

func (b *broker) End(topic string) (int64, error) {
	return b.client.GetOffset(topic, 0, sarama.OffsetNewest)
}

// transformer writes what it takes, a transaction for each record.
type transformer struct {
	*transactional
	group, output string
	left          int
	done          context.CancelFunc
	mutex         sync.Mutex
}

func (t *transformer) Setup(sarama.ConsumerGroupSession) error { return nil }

func (t *transformer) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (t *transformer) ConsumeClaim(
	session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim,
) error {
	for message := range claim.Messages() {
		if err := t.transform(session, message); err != nil {
			return err
		}
	}
	return nil
}

// transform aborts every third transaction, and does it anew.
func (t *transformer) transform(
	session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage,
) error {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	ends := []func() error{t.Commit}
	if t.left%3 == 0 {
		ends = []func() error{t.Abort, t.Commit}
	}
	metadata := sarama.NewConsumerGroupMetadataFromSession(session, t.group, nil)
	value := fmt.Sprintf("%d-%s", message.Partition, message.Value)
	for _, end := range ends {
		err := errors.Join(t.Begin(), t.Send(t.output, value),
			t.AddMessageToTxnWithGroupMetadata(message, metadata, nil), end())
		if err != nil {
			return err
		}
	}
	if t.left--; t.left == 0 {
		t.done()
	}
	return nil
}

func (b *broker) Transform(group, input, output string, count int) error {
	producer, err := b.transactional(group, scenario.TransactionTimeout)
	if err != nil {
		return err
	}
	defer producer.Close()
	config := groupConfiguration("")
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	consumer, err := sarama.NewConsumerGroup([]string{b.bootstrap}, group, config)
	if err != nil {
		return err
	}
	defer func() { _ = consumer.Close() }()
	failed := make(chan error, 1)
	go func() {
		for err := range consumer.Errors() {
			select {
			case failed <- err:
			default:
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	work := &transformer{transactional: producer, group: group, output: output, left: count}
	work.done = cancel
	if err := consumer.Consume(ctx, []string{input}, work); err != nil {
		return err
	}
	work.mutex.Lock()
	defer work.mutex.Unlock()
	if work.left > 0 {
		select {
		case err := <-failed:
			return fmt.Errorf("%d left: %w", work.left, err)
		default:
			return fmt.Errorf("%d left", work.left)
		}
	}
	return nil
}
