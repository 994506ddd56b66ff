package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func groupChecks() []check {
	rebalances := func(how string) func(*broker) (string, error) {
		return func(b *broker) (string, error) { return scenario.Rebalances(b, how) }
	}
	return []check{
		{Name: "groups/eager", Run: rebalances(scenario.Eager)},
		{Name: "groups/cooperative", Run: rebalances(scenario.Cooperative)},
		{Name: "groups/static", Run: func(b *broker) (string, error) { return scenario.Static(b) }},
		{Name: "groups/consumer", Run: rebalances(scenario.Consumer)},
		{Name: "groups/pattern", Run: func(b *broker) (string, error) { return scenario.Pattern(b) }},
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
	return b.sender.ProduceSync(b.context, recordsOf(topic, partition, values)...).FirstErr()
}

func recordsOf(topic string, partition int32, values []string) []*kgo.Record {
	var records []*kgo.Record
	for _, value := range values {
		record := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value)}
		records = append(records, record)
	}
	return records
}

func (b *broker) Committed(group, topic string, partitions int32) ([]int64, error) {
	found, err := b.admin.FetchOffsets(b.context, group)
	if err != nil {
		return nil, err
	}
	offsets := slices.Repeat([]int64{-1}, int(partitions))
	for partition, offset := range found[topic] {
		if offset.Err != nil {
			return nil, offset.Err
		}
		offsets[partition] = offset.At
	}
	return offsets, nil
}

// member is a consumer in a group, which takes records in a routine of its own.
type member struct {
	name   string
	client *kgo.Client
	ledger *scenario.Ledger
	cancel context.CancelFunc
	ended  chan struct{}
	mutex  sync.Mutex
	err    error
}

func (b *broker) Join(joining scenario.Joining, ledger *scenario.Ledger) (scenario.Member, error) {
	m := &member{name: joining.Name, ledger: ledger, ended: make(chan struct{})}
	options := append(m.callbacks(joining.How), optionsOf(joining)...)
	client, err := b.client(options...)
	if err != nil {
		return nil, err
	}
	m.client = client
	ctx, cancel := context.WithCancel(b.context)
	m.cancel = cancel
	go m.run(ctx)
	return m, nil
}

func optionsOf(joining scenario.Joining) []kgo.Opt {
	options := []kgo.Opt{
		kgo.ConsumerGroup(joining.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(scenario.SessionTimeout),
		kgo.HeartbeatInterval(scenario.HeartbeatInterval),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	switch joining.How {
	case scenario.Eager:
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	case scenario.Cooperative:
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	case scenario.Consumer:
		options = append(options, kgo.Balancers(kgo.StickyBalancer()), kgo.ServerSideBalancer())
	}
	if joining.Instance != "" {
		options = append(options, kgo.InstanceID(joining.Instance))
	}
	if joining.Pattern != "" {
		return append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(joining.Pattern))
	}
	return append(options, kgo.ConsumeTopics(joining.Topics...))
}

// callbacks tell the ledger. In the new protocol members come to an epoch one by one, so that it
// tells nothing.
func (m *member) callbacks(how string) []kgo.Opt {
	return []kgo.Opt{
		kgo.OnPartitionsAssigned(func(_ context.Context, c *kgo.Client, all map[string][]int32) {
			_, generation := c.GroupMetadata()
			if how == scenario.Consumer {
				generation = -1
			}
			m.ledger.Assigned(m.name, scenario.Places(all), generation)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, all map[string][]int32) {
			// Whoever owns the partitions next takes again what this one cannot commit.
			_ = c.CommitUncommittedOffsets(ctx)
			m.ledger.Revoked(m.name, scenario.Places(all))
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, all map[string][]int32) {
			m.ledger.Revoked(m.name, scenario.Places(all))
		}),
	}
}

func (m *member) run(ctx context.Context) {
	defer close(m.ended)
	for ctx.Err() == nil {
		polling, done := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := m.client.PollRecords(polling, 50)
		for _, failed := range fetches.Errors() {
			if !errors.Is(failed.Err, polling.Err()) {
				m.fail(failed.Err)
				m.cancel()
			}
		}
		for _, record := range fetches.Records() {
			place := scenario.Place{Topic: record.Topic, Partition: record.Partition}
			m.ledger.Took(m.name, place, record.Offset)
		}
		// What a rebalance hinders is taken again by whoever owns the partitions then.
		_ = m.client.CommitUncommittedOffsets(ctx)
		m.client.AllowRebalance()
		done()
	}
	m.client.CloseAllowingRebalance()
	m.ledger.Left(m.name)
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
	described, err := b.admin.DescribeGroups(b.context, group)
	if err != nil {
		return "", err
	}
	found := described[group]
	var held []string
	for _, one := range found.Members {
		assigned, _ := one.Assigned.AsConsumer()
		held = append(held, fmt.Sprint(len(assigned.Topics[0].Partitions)))
	}
	return fmt.Sprintf("%s %q %q %q members %v", errorName(found.Err), found.State,
		found.ProtocolType, found.Protocol, held), nil
}

func groupAdmin(b *broker) (string, error) {
	flow, err := scenario.NewFlow(b, "groups-admin", 1)
	if err != nil {
		return "", err
	}
	defer flow.Close()
	got := scenario.Answers{Name: errorName}
	describe := func(what, group string) error {
		text, err := b.shownGroup(group)
		got.Note(what, strings.TrimPrefix(text, "NONE "))
		return err
	}
	remove := func(what, group string) error {
		deleted, err := b.admin.DeleteGroups(b.context, group)
		got.Note(what, "by error "+errorName(deleted[group].Err))
		return err
	}
	list := func() error {
		listed, err := b.admin.ListGroups(b.context)
		one := listed[flow.Group]
		got.Note("listed", fmt.Sprintf("%q %q", one.ProtocolType, one.State))
		return err
	}
	topic := flow.Topics[0]
	set := func() error {
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, 1, -1)
		offsets.AddOffset(topic, 5, 0, -1)
		answered, err := b.admin.CommitOffsets(b.context, flow.Group, offsets)
		got.Note("set", "by error "+errorName(answered[topic][0].Err))
		return err
	}
	forget := func(partition int32) error {
		set := kadm.TopicsSet{}
		set.Add(topic, partition)
		answered, err := b.admin.DeleteOffsets(b.context, flow.Group, set)
		got.Note("forget", "by error "+errorName(answered[topic][partition]))
		return err
	}
	for _, step := range []func() error{
		func() error { return flow.Join("one", scenario.Joining{How: scenario.Eager}) },
		func() error { return flow.UntilShared(6) },
		func() error { return describe("with a member", flow.Group) },
		list, set,
		func() error { return forget(0) },
		func() error { return remove("delete", flow.Group) },
		flow.Finish,
		func() error { return describe("without", flow.Group) },
		list, set,
		func() error { return forget(1) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	offsets, err := b.Committed(flow.Group, topic, 6)
	if err != nil {
		return "", err
	}
	got.Note("committed", fmt.Sprint(offsets[0], offsets[1], offsets[5]))
	for _, step := range []func() error{
		func() error { return remove("delete", flow.Group) },
		list,
		func() error { return describe("gone", flow.Group) },
		func() error { return remove("delete again", flow.Group) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	return got.All()
}
