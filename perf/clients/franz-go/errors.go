package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func errorChecks() []check {
	return []check{
		{"errors/unknown-topic", unknownTopic},
		{"errors/too-large", tooLarge},
		{"errors/invalid-name", invalidName},
		{"errors/exists", exists},
		{"errors/out-of-range", outOfRange},
		{"errors/bad-config", badConfig},
		{"errors/bad-partitions", badPartitions},
	}
}

// answers collects what was asked and the name of the error that came.
type answers struct{ lines []string }

func (a *answers) add(what string, err error) {
	a.lines = append(a.lines, what+": "+errorName(err))
}

// all is an error when something succeeded that had to fail.
func (a *answers) all() (string, error) {
	text := strings.Join(a.lines, "; ")
	if strings.Contains(text, ": NONE") {
		return text, fmt.Errorf("no error: %s", text)
	}
	return text, nil
}

func unknownTopic(b *broker) (string, error) {
	var got answers
	topic := b.prefix + "-never-made"
	got.add("produce", b.produce([]*kgo.Record{{Topic: topic, Value: []byte("value")}}))
	topics, err := b.admin.ListTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	got.add("describe", topics[topic].Err)
	ends, err := b.admin.ListEndOffsets(b.context, topic)
	if err != nil {
		return "", err
	}
	got.add("offsets", ends.Error())
	deleted, err := b.admin.DeleteTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	got.add("delete", deleted[topic].Err)
	configs, err := b.admin.DescribeTopicConfigs(b.context, topic)
	if err != nil {
		return "", err
	}
	got.add("configs", configs[0].Err)
	grown, err := b.admin.UpdatePartitions(b.context, 2, topic)
	if err != nil {
		return "", err
	}
	got.add("partitions", grown[topic].Err)
	return got.all()
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
	var got answers
	options := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(8 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
	send := func(topic string, size int) {
		record := &kgo.Record{Topic: topic, Value: make([]byte, size)}
		got.add(fmt.Sprint(size), b.produce([]*kgo.Record{record}, options...))
	}
	send(topic, 2<<20)
	send(small, 1000)
	if err := b.produce([]*kgo.Record{{Topic: small, Value: make([]byte, 900)}}, options...); err != nil {
		return "", err
	}
	return got.all()
}

func (b *broker) creation(partitions int32, replicas int16, configs map[string]*string, name string) error {
	_, err := b.admin.CreateTopic(b.context, partitions, replicas, configs, name)
	return err
}

func invalidName(b *broker) (string, error) {
	var got answers
	names := []struct{ what, name string }{
		{"space", b.prefix + " bad"}, {"slash", b.prefix + "/bad"}, {"letter", b.prefix + "-ü"},
		{"empty", ""}, {"dot", "."}, {"dots", ".."}, {"250 letters", strings.Repeat("a", 250)},
	}
	for _, name := range names {
		got.add(name.what, b.creation(1, 1, nil, name.name))
	}
	return got.all()
}

func exists(b *broker) (string, error) {
	topic, err := b.topic("exists", 1)
	if err != nil {
		return "", err
	}
	var got answers
	got.add("again", b.creation(1, 1, nil, topic))
	got.add("other partitions", b.creation(2, 1, nil, topic))
	dotted, err := b.topic("exists.collides", 1)
	if err != nil {
		return "", err
	}
	got.add("collision", b.creation(1, 1, nil, strings.ReplaceAll(dotted, ".", "_")))
	return got.all()
}

func outOfRange(b *broker) (string, error) {
	topic, err := b.topic("out-of-range", 1)
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 1, 10)); err != nil {
		return "", err
	}
	var got answers
	strict := kgo.ConsumeResetOffset(kgo.NoResetOffset())
	places := map[int32]kgo.Offset{0: kgo.NewOffset().At(1000)}
	_, err = b.consume(topic, places, 1, strict)
	got.add("fetch at 1000", err)
	deleted, err := b.admin.DeleteRecords(b.context, offsetsOf(topic, 11))
	if err != nil {
		return "", err
	}
	got.add("delete records before 11", deleted[topic][0].Err)
	return got.all()
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
	var got answers
	pairs := [][2]string{
		{"no.such.setting", "1"}, {"retention.ms", "soon"}, {"retention.ms", "-2"},
		{"cleanup.policy", "burn"}, {"compression.type", "brotli"}, {"segment.bytes", "1"},
		{"min.insync.replicas", "0"}, {"message.timestamp.type", "Never"},
		{"max.message.bytes", "-1"}, {"unclean.leader.election.enable", "perhaps"},
	}
	for i, pair := range pairs {
		name := fmt.Sprintf("%s-bad-config-%d", b.prefix, i)
		what := pair[0] + "=" + pair[1]
		got.add("create "+what, b.creation(1, 1, map[string]*string{pair[0]: &pair[1]}, name))
		change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: pair[0], Value: &pair[1]}}
		altered, err := b.admin.AlterTopicConfigs(b.context, change, topic)
		if err != nil {
			return "", err
		}
		got.add("alter "+what, altered[0].Err)
	}
	return got.all()
}

func badPartitions(b *broker) (string, error) {
	topic, err := b.topic("bad-partitions", 3)
	if err != nil {
		return "", err
	}
	var got answers
	name := b.prefix + "-bad-partitions-new"
	for _, partitions := range []int32{0, -2} {
		got.add(fmt.Sprintf("create %d", partitions), b.creation(partitions, 1, nil, name))
	}
	for _, replicas := range []int16{0, -2, 30} {
		got.add(fmt.Sprintf("replicas %d", replicas), b.creation(1, replicas, nil, name))
	}
	for _, count := range []int{2, 3, -1} {
		grown, err := b.admin.UpdatePartitions(b.context, count, topic)
		if err != nil {
			return "", err
		}
		got.add(fmt.Sprintf("grow 3 to %d", count), grown[topic].Err)
	}
	return got.all()
}
