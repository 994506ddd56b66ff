package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
)

// sarama has no cooperative assignor, and does not speak the new protocol.
func groupChecks() []check {
	return []check{
		{Name: "groups/eager", Run: func(b *broker) (string, error) {
			return scenario.Rebalances(b, scenario.Eager)
		}},
		{Name: "groups/static", Run: func(b *broker) (string, error) { return scenario.Static(b) }},
		{Name: "groups/admin", Run: groupAdmin},
	}
}

// What the scenario of groups and transactions asks of a client.

func (b *broker) Topic(name string, partitions int32) (string, error) {
	return b.topic(name, partitions)
}

func (b *broker) Group(name string) string { return b.prefix + "-" + name }

func (b *broker) Bootstrap() string { return b.bootstrap }

func (b *broker) ErrorName(err error) string { return errorName(err) }

func (b *broker) Send(topic string, partition int32, values ...string) error {
	return firstOf(b.sender.SendMessages(messagesOf(topic, partition, values)))
}

func messagesOf(topic string, partition int32, values []string) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for _, value := range values {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic, Partition: partition, Value: sarama.StringEncoder(value),
		})
	}
	return messages
}

func (b *broker) Committed(group, topic string, partitions int32) ([]int64, error) {
	found, err := b.admin.ListConsumerGroupOffsets(group, nil)
	if err != nil {
		return nil, err
	}
	offsets := slices.Repeat([]int64{-1}, int(partitions))
	for partition, block := range found.Blocks[topic] {
		if block.Err != sarama.ErrNoError {
			return nil, block.Err
		}
		offsets[partition] = block.Offset
	}
	return offsets, nil
}

// member is a consumer in a group, which takes records in routines of its own.
type member struct {
	name   string
	ledger *scenario.Ledger
	cancel context.CancelFunc
	ended  chan struct{}
	mutex  sync.Mutex
	err    error
}

func groupConfiguration(instance string) *sarama.Config {
	config := configuration()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Session.Timeout = scenario.SessionTimeout
	config.Consumer.Group.Heartbeat.Interval = scenario.HeartbeatInterval
	config.Consumer.Group.InstanceId = instance
	return config
}

func (b *broker) Join(joining scenario.Joining, ledger *scenario.Ledger) (scenario.Member, error) {
	config := groupConfiguration(joining.Instance)
	group, err := sarama.NewConsumerGroup([]string{b.bootstrap}, joining.Group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{name: joining.Name, ledger: ledger, cancel: cancel, ended: make(chan struct{})}
	go func() {
		for range group.Errors() {
			// What is final comes from Consume, too.
		}
	}()
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, joining.Topics, m); err != nil && ctx.Err() == nil {
				m.fail(err)
				break
			}
		}
		m.ledger.Left(m.name)
		_ = group.Close()
	}()
	return m, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.ledger.Assigned(m.name, scenario.Places(session.Claims()), session.GenerationID())
	return nil
}

func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	m.ledger.Revoked(m.name, scenario.Places(session.Claims()))
	return nil
}

func (m *member) ConsumeClaim(
	session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim,
) error {
	place := scenario.Place{Topic: claim.Topic(), Partition: claim.Partition()}
	for message := range claim.Messages() {
		m.ledger.Took(m.name, place, message.Offset)
		session.MarkMessage(message, "")
		if len(claim.Messages()) == 0 {
			session.Commit()
		}
	}
	return nil
}

func (m *member) fail(err error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.err = err
}

func (m *member) Failure() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.err
}

func (m *member) Leave() error {
	m.cancel()
	<-m.ended
	return m.Failure()
}

func (b *broker) shownGroup(group string) (string, error) {
	described, err := b.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", err
	}
	found := described[0]
	var held []string
	for _, one := range found.Members {
		assignment, err := one.GetMemberAssignment()
		if err != nil {
			return "", err
		}
		for _, partitions := range assignment.Topics {
			held = append(held, fmt.Sprint(len(partitions)))
		}
	}
	text := fmt.Sprintf("%q %q %q members %v", found.State, found.ProtocolType, found.Protocol, held)
	if found.Err != sarama.ErrNoError {
		text = "by error " + errorName(found.Err) + " " + text
	}
	return text, nil
}

func groupAdmin(b *broker) (string, error) {
	flow, err := scenario.NewFlow(b, "groups-admin", 1)
	if err != nil {
		return "", err
	}
	defer flow.Close()
	got := scenario.Answers{Name: errorName}
	topic := flow.Topics[0]
	describe := func(what string) error {
		text, err := b.shownGroup(flow.Group)
		got.Note(what, text)
		return err
	}
	remove := func() error {
		got.Note("delete", "by error "+errorName(b.admin.DeleteConsumerGroup(flow.Group)))
		return nil
	}
	list := func() error {
		listed, err := b.admin.ListConsumerGroups()
		kind, has := listed[flow.Group]
		got.Note("listed", fmt.Sprintf("%v %q", has, kind))
		return err
	}
	set := func() error {
		offsets := map[string]map[int32]sarama.OffsetAndMetadata{topic: {0: {Offset: 1}, 5: {}}}
		answered, err := b.admin.AlterConsumerGroupOffsets(flow.Group, offsets, nil)
		if answered != nil {
			got.Note("set", "by error "+errorName(answered.Errors[topic][0]))
			return nil
		}
		got.Note("set", "by error "+errorName(err))
		return nil
	}
	forget := func(partition int32) error {
		err := b.admin.DeleteConsumerGroupOffset(flow.Group, topic, partition)
		got.Note("forget", "by error "+errorName(err))
		return nil
	}
	committed := func() error {
		offsets, err := b.Committed(flow.Group, topic, 6)
		if err == nil {
			got.Note("committed", fmt.Sprint(offsets[0], offsets[1], offsets[5]))
		}
		return err
	}
	for _, step := range []func() error{
		func() error { return flow.Join("one", scenario.Joining{How: scenario.Eager}) },
		func() error { return flow.UntilShared(6) },
		func() error { return describe("with a member") },
		list, set,
		func() error { return forget(0) },
		remove,
		flow.Finish,
		func() error { return describe("without") },
		list, set,
		func() error { return forget(1) },
		committed, remove, list,
		func() error { return describe("gone") },
		remove,
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return got.All()
}
