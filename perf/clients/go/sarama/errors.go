package main

import (
	"fmt"
	"strings"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
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

// unknownTopic: a metadata request of sarama makes topics unless told otherwise.
func unknownTopic(b *broker) (string, error) {
	got := scenario.Answers{Name: errorName}
	topic := b.prefix + "-never-made"
	config := configuration()
	config.Metadata.AllowAutoTopicCreation = false
	config.Producer.Retry.Max = 2
	client, err := sarama.NewClient([]string{b.bootstrap}, config)
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()
	_, err = client.Partitions(topic)
	got.Add("partitions", err)
	_, err = client.GetOffset(topic, 0, sarama.OffsetNewest)
	got.Add("offset", err)
	message := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("value")}
	got.Add("produce", b.produce(config, message))
	topics, err := b.admin.DescribeTopics([]string{topic})
	if err != nil {
		return "", err
	}
	got.Add("describe", topics[0].Err)
	_, err = b.admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	got.Add("configs", err)
	got.Add("grow", b.admin.CreatePartitions(topic, 2, nil, false))
	got.Add("delete", b.admin.DeleteTopic(topic))
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
	config := configuration()
	config.Producer.MaxMessageBytes = 8 << 20
	got := scenario.Answers{Name: errorName}
	send := func(topic string, size int) error {
		value := sarama.ByteEncoder(make([]byte, size))
		return b.produce(config, &sarama.ProducerMessage{Topic: topic, Value: value})
	}
	got.Add("2097152", send(topic, 2<<20))
	got.Add("1000", send(small, 1000))
	if err := send(small, 900); err != nil {
		return "", err
	}
	return got.All()
}

func (b *broker) creation(partitions int32, replicas int16, name string, settings ...string) error {
	detail := sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: replicas}
	if len(settings) == 2 {
		detail.ConfigEntries = map[string]*string{settings[0]: &settings[1]}
	}
	return b.admin.CreateTopic(name, &detail, false)
}

// invalidName leaves the empty name out: sarama answers that itself.
func invalidName(b *broker) (string, error) {
	got := scenario.Answers{Name: errorName}
	names := []struct{ what, name string }{
		{"space", b.prefix + " bad"}, {"slash", b.prefix + "/bad"}, {"letter", b.prefix + "-ü"},
		{"dot", "."}, {"dots", ".."}, {"250 letters", strings.Repeat("a", 250)},
	}
	for _, name := range names {
		got.Add(name.what, b.creation(1, 1, name.name))
	}
	return got.All()
}

func exists(b *broker) (string, error) {
	topic, err := b.topic("exists", 1)
	if err != nil {
		return "", err
	}
	dotted, err := b.topic("exists.collides", 1)
	if err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	got.Add("again", b.creation(1, 1, topic))
	got.Add("other partitions", b.creation(2, 1, topic))
	got.Add("collision", b.creation(1, 1, strings.ReplaceAll(dotted, ".", "_")))
	return got.All()
}

// outOfRange: sarama compares a place with the ends itself before it fetches, but asks them of the
// broker.
func outOfRange(b *broker) (string, error) {
	topic, err := b.topic("out-of-range", 1)
	if err != nil {
		return "", err
	}
	if err := b.produce(configuration(), numbered(topic, 1, 10)...); err != nil {
		return "", err
	}
	got := scenario.Answers{Name: errorName}
	_, err = b.consume(topic, map[int32]int64{0: 1000}, 1)
	got.Add("consume at 1000", err)
	leader, err := b.client.Leader(topic, 0)
	if err != nil {
		return "", err
	}
	request := &sarama.FetchRequest{Version: 4, MinBytes: 1, MaxBytes: 1 << 20, MaxWaitTime: 100}
	request.AddBlock(topic, 0, 1000, 1<<20, -1)
	response, err := leader.Fetch(request)
	if err != nil {
		return "", err
	}
	got.Add("fetch at 1000", response.GetBlock(topic, 0).Err)
	got.Add("delete records before 11", b.admin.DeleteRecords(topic, map[int32]int64{0: 11}))
	return got.All()
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
	}
	for i, pair := range pairs {
		name := fmt.Sprintf("%s-bad-config-%d", b.prefix, i)
		what := pair[0] + "=" + pair[1]
		got.Add("create "+what, b.creation(1, 1, name, pair[0], pair[1]))
		whole := map[string]*string{pair[0]: &pair[1]}
		got.Add("alter "+what, b.admin.AlterConfig(sarama.TopicResource, topic, whole, false))
		change := map[string]sarama.IncrementalAlterConfigsEntry{
			pair[0]: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &pair[1]},
		}
		got.Add("change "+what, b.admin.IncrementalAlterConfig(sarama.TopicResource, topic, change, false))
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
		got.Add(fmt.Sprintf("create %d", partitions), b.creation(partitions, 1, name))
	}
	for _, replicas := range []int16{0, -2, 30} {
		got.Add(fmt.Sprintf("replicas %d", replicas), b.creation(1, replicas, name))
	}
	for _, count := range []int32{2, 3, -1} {
		grown := b.admin.CreatePartitions(topic, count, nil, false)
		got.Add(fmt.Sprintf("grow 3 to %d", count), grown)
	}
	return got.All()
}
