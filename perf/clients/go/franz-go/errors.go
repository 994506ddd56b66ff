package main

import (
	"fmt"
	"strings"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func errorChecks() []check {
	return []check{
		{Name: "errors/unknown-topic", Run: unknownTopic},
		{Name: "errors/too-large", Run: tooLarge},
		{Name: "errors/invalid-name", Run: invalidName},
		{Name: "errors/exists", Run: exists},
		{Name: "errors/out-of-range", Run: outOfRange},
		{Name: "errors/bad-config", Run: badConfig},
		{Name: "errors/bad-partitions", Run: badPartitions},
	}
}

func unknownTopic(b *broker) (string, error) {
	got := scenario.Answers{Name: errorName}
	topic := b.prefix + "-never-made"
	got.Add("produce", b.produce([]*kgo.Record{{Topic: topic, Value: []byte("value")}}))
	topics, err := b.admin.ListTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	got.Add("describe", topics[topic].Err)
	ends, err := b.admin.ListEndOffsets(b.context, topic)
	if err != nil {
		return "", err
	}
	got.Add("offsets", ends.Error())
	deleted, err := b.admin.DeleteTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	got.Add("delete", deleted[topic].Err)
	configs, err := b.admin.DescribeTopicConfigs(b.context, topic)
	if err != nil {
		return "", err
	}
	got.Add("configs", configs[0].Err)
	grown, err := b.admin.UpdatePartitions(b.context, 2, topic)
	if err != nil {
		return "", err
	}
	got.Add("partitions", grown[topic].Err)
	return got.All()
}

func tooLarge(b *broker) (string, error) {
	topic, err := b.topic("too-large", 1)
	if err != nil {
		return "", err
	}
	small, err := b.topic("too-large-small", 1, "max.message.bytes", "1000")
	if err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	options := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(8 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	send := func(topic string, size int) {
		record := &kgo.Record{Topic: topic, Value: make([]byte, size)}
		got.Add(fmt.Sprint(size), b.produce([]*kgo.Record{record}, options...))
	}
	send(topic, 2<<20)
	send(small, 1000)
	if err := b.produce([]*kgo.Record{{Topic: small, Value: make([]byte, 900)}}, options...); err != nil {
		return "", err
	}
	return got.All()
}

func (b *broker) creation(partitions int32, replicas int16, configs map[string]*string, name string) error {
	_, err := b.admin.CreateTopic(b.context, partitions, replicas, configs, name)
	return err
}

func invalidName(b *broker) (string, error) {
	got := scenario.Answers{Name: errorName}
	names := []struct{ what, name string }{
		{"space", b.prefix + " bad"}, {"slash", b.prefix + "/bad"}, {"letter", b.prefix + "-ü"},
		{"empty", ""}, {"dot", "."}, {"dots", ".."}, {"250 letters", strings.Repeat("a", 250)},
	}
	for _, name := range names {
		got.Add(name.what, b.creation(1, 1, nil, name.name))
	}
	return got.All()
}

func exists(b *broker) (string, error) {
	topic, err := b.topic("exists", 1)
	if err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	got.Add("again", b.creation(1, 1, nil, topic))
	got.Add("other partitions", b.creation(2, 1, nil, topic))
	dotted, err := b.topic("exists.collides", 1)
	if err != nil {
		return "", err
	}
	got.Add("collision", b.creation(1, 1, nil, strings.ReplaceAll(dotted, ".", "_")))
	return got.All()
}

func outOfRange(b *broker) (string, error) {
	topic, err := b.topic("out-of-range", 1)
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 1, 10)); err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	strict := kgo.ConsumeResetOffset(kgo.NoResetOffset())
	places := map[int32]kgo.Offset{0: kgo.NewOffset().At(1000)}
	_, err = b.consume(topic, places, 1, strict)
	got.Add("fetch at 1000", err)
	deleted, err := b.admin.DeleteRecords(b.context, offsetsOf(topic, 11))
	if err != nil {
		return "", err
	}
	got.Add("delete records before 11", deleted[topic][0].Err)
	return got.All()
}

func offsetsOf(topic string, at int64) kadm.Offsets {
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: at})
	return offsets
}

func badConfig(b *broker) (string, error) {
	topic, err := b.topic("bad-config", 1)
	if err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	pairs := [][2]string{
		{"no.such.setting", "1"}, {"retention.ms", "soon"}, {"retention.ms", "-2"},
		{"cleanup.policy", "burn"}, {"compression.type", "brotli"}, {"segment.bytes", "1"},
		{"min.insync.replicas", "0"}, {"message.timestamp.type", "Never"},
		{"max.message.bytes", "-1"}, {"unclean.leader.election.enable", "perhaps"},
	}
	for i, pair := range pairs {
		name := fmt.Sprintf("%s-bad-config-%d", b.prefix, i)
		what := pair[0] + "=" + pair[1]
		got.Add("create "+what, b.creation(1, 1, map[string]*string{pair[0]: &pair[1]}, name))
		change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: pair[0], Value: &pair[1]}}
		altered, err := b.admin.AlterTopicConfigs(b.context, change, topic)
		if err != nil {
			return "", err
		}
		got.Add("alter "+what, altered[0].Err)
	}
	return got.All()
}

func badPartitions(b *broker) (string, error) {
	topic, err := b.topic("bad-partitions", 3)
	if err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	name := b.prefix + "-bad-partitions-new"
	for _, partitions := range []int32{0, -2} {
		got.Add(fmt.Sprintf("create %d", partitions), b.creation(partitions, 1, nil, name))
	}
	for _, replicas := range []int16{0, -2, 30} {
		got.Add(fmt.Sprintf("replicas %d", replicas), b.creation(1, replicas, nil, name))
	}
	for _, count := range []int{2, 3, -1} {
		grown, err := b.admin.UpdatePartitions(b.context, count, topic)
		if err != nil {
			return "", err
		}
		got.Add(fmt.Sprintf("grow 3 to %d", count), grown[topic].Err)
	}
	return got.All()
}
