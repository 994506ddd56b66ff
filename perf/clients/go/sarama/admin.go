package main

import (
	"fmt"
	"sort"
	"strings"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
)

func adminChecks() []check {
	return []check{
		{Name: "admin/create", Run: create},
		{Name: "admin/describe", Run: describe},
		{Name: "admin/configs", Run: configs},
		{Name: "admin/configs-whole", Run: wholeConfigs},
		{Name: "admin/partitions", Run: partitions},
		{Name: "admin/offsets", Run: offsets},
		{Name: "admin/delete-records", Run: deleteRecords},
		{Name: "admin/delete", Run: deletion},
		{Name: "admin/cluster", Run: cluster},
		{Name: "admin/log-dirs", Run: logDirs},
		{Name: "admin/elect-leaders", Run: electLeaders},
		{Name: "admin/reassignments", Run: reassignments},
	}
}

func create(b *broker) (string, error) {
	value := "123456"
	detail := sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}
	detail.ConfigEntries = map[string]*string{"retention.ms": &value}
	name := b.prefix + "-create"
	if err := b.admin.CreateTopic(name, &detail, true); err != nil {
		return "", fmt.Errorf("validate: %w", err)
	}
	topics, err := b.admin.ListTopics()
	if err != nil {
		return "", err
	}
	if _, made := topics[name]; made {
		return "", fmt.Errorf("made, though only validated")
	}
	if err := b.admin.CreateTopic(name, &detail, false); err != nil {
		return "", err
	}
	defaults := sarama.TopicDetail{NumPartitions: -1, ReplicationFactor: -1}
	if err := b.admin.CreateTopic(name+"-defaults", &defaults, false); err != nil {
		return "", err
	}
	// ListTopics describes the configs of all topics, too, and gives those that are not defaults.
	wanted := "3 partitions, 1 replicas, retention.ms=123456; defaults: 1 replicas"
	return scenario.Eventually(wanted, func() (string, error) {
		topics, err := b.admin.ListTopics()
		if err != nil {
			return "", err
		}
		got, retention := topics[name], "none"
		if value := got.ConfigEntries["retention.ms"]; value != nil {
			retention = *value
		}
		return fmt.Sprintf("%d partitions, %d replicas, retention.ms=%s; defaults: %d replicas",
			got.NumPartitions, got.ReplicationFactor, retention, topics[name+"-defaults"].ReplicationFactor), nil
	})
}

func describe(b *broker) (string, error) {
	name, err := b.topic("describe", 5)
	if err != nil {
		return "", err
	}
	topics, err := b.admin.DescribeTopics([]string{name})
	if err != nil {
		return "", err
	}
	topic := topics[0]
	if topic.Err != sarama.ErrNoError {
		return "", topic.Err
	}
	sort.Slice(topic.Partitions, func(i, j int) bool {
		return topic.Partitions[i].ID < topic.Partitions[j].ID
	})
	shown := []string{fmt.Sprintf("internal %v, id %v", topic.IsInternal, topic.Uuid != sarama.Uuid{})}
	for _, partition := range topic.Partitions {
		if partition.Replicas[0] != partition.Leader || partition.Isr[0] != partition.Leader {
			return "", fmt.Errorf("leader %d is not the replica", partition.Leader)
		}
		shown = append(shown, fmt.Sprintf("%d: %s, %d replica, %d in sync, %d offline, epoch %d",
			partition.ID, errorName(partition.Err), len(partition.Replicas), len(partition.Isr),
			len(partition.OfflineReplicas), partition.LeaderEpoch))
	}
	return strings.Join(shown, "; "), nil
}

// described is each config of a topic with its value, type, source, and what it would be otherwise;
// without what only Ringlog has.
func (b *broker) described(topic string) (map[string]string, error) {
	resource := &sarama.ConfigResource{Type: sarama.TopicResource, Name: topic}
	options := sarama.DescribeConfigsOptions{IncludeSynonyms: true, IncludeDocumentation: true}
	results, err := b.admin.DescribeConfigs([]*sarama.ConfigResource{resource}, options)
	if err != nil {
		return nil, err
	}
	if results[0].ErrorCode != sarama.ErrNoError {
		return nil, results[0].ErrorCode
	}
	shown := map[string]string{}
	for _, config := range results[0].Configs {
		if strings.HasPrefix(config.Name, "ringlog.") {
			continue
		}
		text := fmt.Sprintf("%s (%s, type %d, read only %v, sensitive %v, documented %v)",
			config.Value, config.Source, config.Type, config.ReadOnly, config.Sensitive,
			config.Documentation != nil && *config.Documentation != "")
		for _, synonym := range config.Synonyms {
			text += fmt.Sprintf(" < %s=%s (%s)", synonym.ConfigName, synonym.ConfigValue, synonym.Source)
		}
		shown[config.Name] = text
	}
	return shown, nil
}

// shownOnce waits until the broker shows that retention.ms begins so.
func (b *broker) shownOnce(topic, wanted string) (map[string]string, error) {
	var got map[string]string
	_, err := scenario.Eventually(wanted, func() (string, error) {
		var err error
		got, err = b.described(topic)
		value, _, _ := strings.Cut(got["retention.ms"], ",")
		return value, err
	})
	return got, err
}

func joined(all map[string]string) string {
	var lines []string
	for name, text := range all {
		lines = append(lines, name+"="+text)
	}
	sort.Strings(lines)
	return strings.Join(lines, "; ")
}

func configs(b *broker) (string, error) {
	topic, err := b.topic("configs", 1, "retention.ms", "7200000", "cleanup.policy", "compact")
	if err != nil {
		return "", err
	}
	before, err := b.described(topic)
	if err != nil {
		return "", err
	}
	alter := func(changes map[string]sarama.IncrementalAlterConfigsEntry) error {
		return b.admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false)
	}
	retention, codec, policy, former := "3600000", "gzip", "delete", "compact"
	err = alter(map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms":     {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &retention},
		"compression.type": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &codec},
		"cleanup.policy":   {Operation: sarama.IncrementalAlterConfigsOperationAppend, Value: &policy},
	})
	if err != nil {
		return "", err
	}
	after, err := b.shownOnce(topic, "3600000 (Topic")
	if err != nil {
		return "", err
	}
	err = alter(map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms":   {Operation: sarama.IncrementalAlterConfigsOperationDelete},
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationSubtract, Value: &former},
	})
	if err != nil {
		return "", err
	}
	last, err := b.shownOnce(topic, "604800000 (Default")
	if err != nil {
		return "", err
	}
	for name, text := range before {
		if after[name] == text {
			delete(after, name)
		}
		if last[name] == text {
			delete(last, name)
		}
	}
	return fmt.Sprintf("before: %s | after: %s | last: %s",
		joined(before), joined(after), joined(last)), nil
}

// wholeConfigs uses the older AlterConfigs, which states all settings of a topic.
func wholeConfigs(b *broker) (string, error) {
	topic, err := b.topic("configs-whole", 1, "retention.ms", "7200000")
	if err != nil {
		return "", err
	}
	value := "3600000"
	change := map[string]*string{"delete.retention.ms": &value}
	for _, onlyValidate := range []bool{true, false} {
		err := b.admin.AlterConfig(sarama.TopicResource, topic, change, onlyValidate)
		if err != nil {
			return "", err
		}
	}
	got, err := b.shownOnce(topic, "604800000 (Default")
	if err != nil {
		return "", err
	}
	return "delete.retention.ms=" + got["delete.retention.ms"] + "; retention.ms=" + got["retention.ms"], nil
}

func partitions(b *broker) (string, error) {
	topic, err := b.topic("partitions", 2)
	if err != nil {
		return "", err
	}
	for _, onlyValidate := range []bool{true, false} {
		if err := b.admin.CreatePartitions(topic, 7, nil, onlyValidate); err != nil {
			return "", err
		}
	}
	seen, err := scenario.Eventually("7", func() (string, error) {
		topics, err := b.admin.DescribeTopics([]string{topic})
		if err != nil {
			return "", err
		}
		return fmt.Sprint(len(topics[0].Partitions)), nil
	})
	if err != nil {
		return "", err
	}
	if err := b.produce(configuration(), numbered(topic, 7, 70)...); err != nil {
		return "", fmt.Errorf("produce to what is new: %w", err)
	}
	if _, err := b.consume(topic, fromStart(7), 70); err != nil {
		return "", err
	}
	return seen + " partitions, 70 records", nil
}

// offsets: sarama asks ListOffsets in versions that know no maximum of timestamps.
func offsets(b *broker) (string, error) {
	topic, err := b.timed("offsets")
	if err != nil {
		return "", err
	}
	if err := b.admin.DeleteRecords(topic, map[int32]int64{0: 7}); err != nil {
		return "", err
	}
	questions := []struct {
		what string
		time int64
	}{
		{"earliest", sarama.OffsetOldest}, {"latest", sarama.OffsetNewest},
		{"from 0", timeFirst}, {"from 42000", timeFirst + 42_000}, {"from 42001", timeFirst + 42_001},
		{"from 99001", timeFirst + 99_001},
	}
	var shown []string
	for _, isolation := range []sarama.IsolationLevel{sarama.ReadUncommitted, sarama.ReadCommitted} {
		for _, question := range questions {
			asked := map[string]map[int32]int64{topic: {0: question.time}}
			options := &sarama.ListOffsetsOptions{IsolationLevel: isolation}
			listed, err := b.admin.ListOffsets(asked, options)
			if err != nil {
				return "", err
			}
			got := listed[topic][0]
			if errorName(got.Err) != "NONE" {
				return "", fmt.Errorf("%s: %w", question.what, got.Err)
			}
			shown = append(shown, fmt.Sprintf("%s: %d at %d, epoch %d",
				question.what, got.Offset, got.Timestamp, got.LeaderEpoch))
		}
	}
	return strings.Join(shown, "; "), nil
}

func deleteRecords(b *broker) (string, error) {
	topic, err := b.timed("delete-records")
	if err != nil {
		return "", err
	}
	var shown []string
	for _, before := range []int64{0, 33, 20, -1} {
		if err := b.admin.DeleteRecords(topic, map[int32]int64{0: before}); err != nil {
			return "", fmt.Errorf("before %d: %w", before, err)
		}
		start, err := b.client.GetOffset(topic, 0, sarama.OffsetOldest)
		if err != nil {
			return "", err
		}
		shown = append(shown, fmt.Sprintf("before %d: start %d", before, start))
	}
	return strings.Join(shown, "; "), nil
}

func deletion(b *broker) (string, error) {
	topic, err := b.topic("delete", 3)
	if err != nil {
		return "", err
	}
	if err := b.produce(configuration(), numbered(topic, 3, 30)...); err != nil {
		return "", err
	}
	if err := b.admin.DeleteTopic(topic); err != nil {
		return "", err
	}
	gone, err := scenario.Eventually("false", func() (string, error) {
		topics, err := b.admin.ListTopics()
		_, has := topics[topic]
		return fmt.Sprint(has), err
	})
	if err != nil {
		return "", err
	}
	if _, err := b.topic("delete", 1); err != nil {
		return "", fmt.Errorf("the same name again: %w", err)
	}
	if err := b.client.RefreshMetadata(topic); err != nil {
		return "", err
	}
	end, err := b.client.GetOffset(topic, 0, sarama.OffsetNewest)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("listed after: %s; made again: end %d", gone, end), nil
}

func cluster(b *broker) (string, error) {
	brokers, controller, err := b.admin.DescribeCluster()
	if err != nil {
		return "", err
	}
	found := false
	for _, broker := range brokers {
		found = found || broker.ID() == controller
		if broker.Addr() == "" {
			return "", fmt.Errorf("broker %d has no address", broker.ID())
		}
	}
	return fmt.Sprintf("controller listed: %v", found), nil
}

func logDirs(b *broker) (string, error) {
	topic, err := b.topic("log-dirs", 2)
	if err != nil {
		return "", err
	}
	if err := b.produce(configuration(), numbered(topic, 1, 100)...); err != nil {
		return "", err
	}
	brokers, _, err := b.admin.DescribeCluster()
	if err != nil {
		return "", err
	}
	var ids []int32
	for _, broker := range brokers {
		ids = append(ids, broker.ID())
	}
	all, err := b.admin.DescribeLogDirs(ids)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, dirs := range all {
		for _, dir := range dirs {
			if dir.ErrorCode != sarama.ErrNoError || dir.Path == "" {
				return "", fmt.Errorf("%q: %w", dir.Path, dir.ErrorCode)
			}
			for _, held := range dir.Topics {
				if held.Topic != topic {
					continue
				}
				for _, log := range held.Partitions {
					shown = append(shown, fmt.Sprintf("partition %d: has bytes %v, lag %d, future %v",
						log.PartitionID, log.Size > 0, log.OffsetLag, log.IsTemporary))
				}
			}
		}
	}
	sort.Strings(shown)
	return strings.Join(shown, "; "), nil
}

func electLeaders(b *broker) (string, error) {
	topic, err := b.topic("elect-leaders", 1)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, how := range []sarama.ElectionType{sarama.PreferredElection, sarama.UncleanElection} {
		got, err := b.admin.ElectLeaders(how, map[string][]int32{topic: {0, 1}})
		if err != nil {
			return "", err
		}
		for partition := range int32(2) {
			answer := "no answer"
			if result := got[topic][partition]; result != nil {
				answer = errorName(result.ErrorCode)
			}
			shown = append(shown, fmt.Sprintf("kind %d partition %d: %s", how, partition, answer))
		}
	}
	return strings.Join(shown, "; "), nil
}

func reassignments(b *broker) (string, error) {
	topic, err := b.topic("reassignments", 1)
	if err != nil {
		return "", err
	}
	listed, err := b.admin.ListPartitionReassignments(topic, []int32{0})
	if err != nil {
		return "", err
	}
	topics, err := b.admin.DescribeTopics([]string{topic})
	if err != nil {
		return "", err
	}
	same := b.admin.AlterPartitionReassignments(topic, [][]int32{topics[0].Partitions[0].Replicas})
	unknown := b.admin.AlterPartitionReassignments(topic, [][]int32{{4040}})
	return fmt.Sprintf("listed: %d; same: %s; unknown broker: %s",
		len(listed[topic]), errorName(same), errorName(unknown)), nil
}
