package main

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
)

const topicSource = "DYNAMIC_TOPIC_CONFIG"

func adminChecks() []check {
	return []check{
		{Name: "admin/create", Run: create},
		{Name: "admin/describe", Run: describe},
		{Name: "admin/configs", Run: configs},
		{Name: "admin/configs-broker", Run: brokerConfigs},
		{Name: "admin/configs-whole", Run: wholeConfigs},
		{Name: "admin/config-resources", Run: configResources},
		{Name: "admin/partitions", Run: partitions},
		{Name: "admin/offsets", Run: offsets},
		{Name: "admin/leader-epochs", Run: leaderEpochs},
		{Name: "admin/delete-records", Run: deleteRecords},
		{Name: "admin/delete", Run: deletion},
		{Name: "admin/cluster", Run: cluster},
		{Name: "admin/log-dirs", Run: logDirs},
		{Name: "admin/producers", Run: producers},
		{Name: "admin/elect-leaders", Run: electLeaders},
		{Name: "admin/reassignments", Run: reassignments},
	}
}

func create(b *broker) (string, error) {
	value := "123456"
	name := b.prefix + "-create"
	settings := map[string]*string{"retention.ms": &value}
	dry, err := b.admin.ValidateCreateTopics(b.context, 3, 1, settings, name)
	if err != nil {
		return "", err
	}
	made, err := b.admin.CreateTopics(b.context, 3, 1, settings, name)
	if err != nil {
		return "", err
	}
	got := made[name]
	if got.Err != nil {
		return "", got.Err
	}
	if got.ID == (kadm.TopicID{}) {
		return "", fmt.Errorf("no topic id")
	}
	defaults, err := b.admin.CreateTopic(b.context, -1, -1, nil, name+"-defaults")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("validated: %s, %d partitions; created: %d partitions, %d replicas, "+
		"retention.ms=%s, %d configs with a source; defaults: %d replicas",
		errorName(dry[name].Err), dry[name].NumPartitions, got.NumPartitions, got.ReplicationFactor,
		shownConfig(got.Configs["retention.ms"]), len(ours(got.Configs)),
		defaults.ReplicationFactor), nil
}

// ours leaves out what only Ringlog has.
func ours(all map[string]kadm.Config) []string {
	var names []string
	for name := range all {
		if !strings.HasPrefix(name, "ringlog.") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func shownConfig(config kadm.Config) string {
	text := fmt.Sprintf("%s (%s)", config.MaybeValue(), config.Source)
	if config.Sensitive {
		text += " sensitive"
	}
	return text
}

func describe(b *broker) (string, error) {
	name, err := b.topic("describe", 5)
	if err != nil {
		return "", err
	}
	topics, err := b.admin.ListTopics(b.context, name)
	if err != nil {
		return "", err
	}
	topic := topics[name]
	if topic.Err != nil {
		return "", topic.Err
	}
	brokers, err := b.admin.ListBrokers(b.context)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, partition := range topic.Partitions.Sorted() {
		if !slices.Contains(brokers.NodeIDs(), partition.Leader) {
			return "", fmt.Errorf("leader %d is no broker", partition.Leader)
		}
		if partition.Replicas[0] != partition.Leader || partition.ISR[0] != partition.Leader {
			return "", fmt.Errorf("leader %d is not the replica", partition.Leader)
		}
		shown = append(shown, fmt.Sprintf("%d: %d replica, %d in sync, %d offline, epoch %d",
			partition.Partition, len(partition.Replicas), len(partition.ISR),
			len(partition.OfflineReplicas), partition.LeaderEpoch))
	}
	all, err := b.admin.ListTopics(b.context)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("internal %v, listed %v, id %v, %s",
		topic.IsInternal, all.Has(name), topic.ID != kadm.TopicID{}, strings.Join(shown, "; ")), nil
}

// described is each config of a topic with its value, its source, and what it would be otherwise.
func (b *broker) described(topic string) (map[string]string, error) {
	resources, err := b.admin.DescribeTopicConfigs(b.context, topic)
	if err != nil {
		return nil, err
	}
	resource, err := resources.On(topic, nil)
	if err != nil {
		return nil, err
	}
	if resource.Err != nil {
		return nil, resource.Err
	}
	shown := map[string]string{}
	for _, config := range resource.Configs {
		if strings.HasPrefix(config.Key, "ringlog.") {
			continue
		}
		text := shownConfig(config)
		for _, synonym := range config.Synonyms {
			value := ""
			if synonym.Value != nil {
				value = *synonym.Value
			}
			text += fmt.Sprintf(" < %s=%s (%s)", synonym.Key, value, synonym.Source)
		}
		shown[config.Key] = text
	}
	return shown, nil
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
	value := func(text string) *string { return &text }
	source := func(value string) string { return value + " (" + topicSource + ")" }
	// shownOnce waits until the broker shows this value of retention.ms.
	shownOnce := func(wanted string) (map[string]string, error) {
		var got map[string]string
		_, err := scenario.Eventually(wanted, func() (string, error) {
			var err error
			got, err = b.described(topic)
			value, _, _ := strings.Cut(got["retention.ms"], " <")
			return value, err
		})
		return got, err
	}
	altered, err := b.admin.AlterTopicConfigs(b.context, []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: value("3600000")},
		{Op: kadm.SetConfig, Name: "compression.type", Value: value("gzip")},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: value("delete")},
	}, topic)
	if err != nil {
		return "", err
	}
	if altered[0].Err != nil {
		return "", altered[0].Err
	}
	after, err := shownOnce(source("3600000"))
	if err != nil {
		return "", err
	}
	_, err = b.admin.AlterTopicConfigs(b.context, []kadm.AlterConfig{
		{Op: kadm.DeleteConfig, Name: "retention.ms"},
		{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: value("compact")},
	}, topic)
	if err != nil {
		return "", err
	}
	last, err := shownOnce("604800000 (DEFAULT_CONFIG)")
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
	change := []kadm.AlterConfig{{Name: "delete.retention.ms", Value: &value}}
	dry, err := b.admin.ValidateAlterTopicConfigsState(b.context, change, topic)
	if err != nil {
		return "", err
	}
	altered, err := b.admin.AlterTopicConfigsState(b.context, change, topic)
	if err != nil {
		return "", err
	}
	var got map[string]string
	_, err = scenario.Eventually("604800000 (DEFAULT_CONFIG)", func() (string, error) {
		var err error
		got, err = b.described(topic)
		return got["retention.ms"], err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("validated: %s, altered: %s, delete.retention.ms=%s; retention.ms=%s",
		errorName(dry[0].Err), errorName(altered[0].Err),
		got["delete.retention.ms"], got["retention.ms"]), nil
}

// brokerConfigs sets a default of the whole cluster and one broker's value, and takes both back.
func brokerConfigs(b *broker) (string, error) {
	brokers, err := b.admin.ListBrokers(b.context)
	if err != nil {
		return "", err
	}
	id := brokers[0].NodeID
	const name = "log.retention.ms"
	shown := func() (string, error) {
		resources, err := b.admin.DescribeBrokerConfigs(b.context, id)
		if err != nil {
			return "", err
		}
		if resources[0].Err != nil {
			return "", resources[0].Err
		}
		for _, config := range resources[0].Configs {
			if config.Key == name {
				return shownConfig(config), nil
			}
		}
		return "absent", nil
	}
	lines := make([]string, 0, 5)
	note := func(wanted string) error {
		text, err := scenario.Eventually(wanted, shown)
		lines = append(lines, text)
		return err
	}
	alter := func(op kadm.IncrementalOp, text, wanted string, brokers ...int32) error {
		change := []kadm.AlterConfig{{Op: op, Name: name, Value: &text}}
		altered, err := b.admin.AlterBrokerConfigs(b.context, change, brokers...)
		if err == nil {
			err = altered[0].Err
		}
		if err != nil {
			return err
		}
		return note(wanted)
	}
	if err := note(" (DEFAULT_CONFIG)"); err != nil {
		return "", err
	}
	ofAll, ofOne := " (DYNAMIC_DEFAULT_BROKER_CONFIG)", " (DYNAMIC_BROKER_CONFIG)"
	for _, step := range []func() error{
		func() error { return alter(kadm.SetConfig, "500000000", "500000000"+ofAll) },
		func() error { return alter(kadm.SetConfig, "600000000", "600000000"+ofOne, id) },
		func() error { return alter(kadm.DeleteConfig, "", "500000000"+ofAll, id) },
		func() error { return alter(kadm.DeleteConfig, "", " (DEFAULT_CONFIG)") },
	} {
		if err := step(); err != nil {
			return strings.Join(lines, "; "), err
		}
	}
	return strings.Join(lines, "; "), nil
}

func configResources(b *broker) (string, error) {
	topic, err := b.topic("config-resources", 1)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, kind := range []kadm.ConfigResourceType{kadm.ConfigResourceTopic, kadm.ConfigResourceBroker} {
		listed, err := b.admin.ListConfigResources(b.context, kind)
		if err != nil {
			return "", err
		}
		if len(listed.Resources) == 0 {
			return "", fmt.Errorf("no resource of kind %v", kind)
		}
		if kind == kadm.ConfigResourceTopic {
			shown = append(shown, fmt.Sprintf("topic listed: %v", slices.Contains(listed.Names(), topic)))
		} else {
			shown = append(shown, "brokers listed")
		}
	}
	return strings.Join(shown, ", "), nil
}

func partitions(b *broker) (string, error) {
	topic, err := b.topic("partitions", 2)
	if err != nil {
		return "", err
	}
	dry, err := b.admin.ValidateUpdatePartitions(b.context, 7, topic)
	if err != nil {
		return "", err
	}
	grown, err := b.admin.UpdatePartitions(b.context, 7, topic)
	if err != nil {
		return "", err
	}
	if grown[topic].Err != nil {
		return "", grown[topic].Err
	}
	seen, err := scenario.Eventually("7", func() (string, error) {
		topics, err := b.admin.ListTopics(b.context, topic)
		return fmt.Sprint(len(topics[topic].Partitions)), err
	})
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 7, 70)); err != nil {
		return "", fmt.Errorf("produce to what is new: %w", err)
	}
	if _, err := b.consume(topic, fromStart(7), 70); err != nil {
		return "", err
	}
	return fmt.Sprintf("validated: %s, %s partitions, 70 records", errorName(dry[topic].Err), seen), nil
}

func offsets(b *broker) (string, error) {
	topic, err := b.timed("offsets")
	if err != nil {
		return "", err
	}
	if _, err := b.admin.DeleteRecords(b.context, offsetsOf(topic, 7)); err != nil {
		return "", err
	}
	var shown []string
	note := func(what string, listed kadm.ListedOffsets, err error) error {
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		got, _ := listed.Lookup(topic, 0)
		shown = append(shown, fmt.Sprintf("%s: %d at %d, epoch %d",
			what, got.Offset, got.Timestamp, got.LeaderEpoch))
		return nil
	}
	questions := []struct {
		what string
		ask  func(context.Context, ...string) (kadm.ListedOffsets, error)
	}{
		{"earliest", b.admin.ListStartOffsets},
		{"latest", b.admin.ListEndOffsets},
		{"committed", b.admin.ListCommittedOffsets},
		{"max", b.admin.ListMaxTimestampOffsets},
		{"local", b.admin.ListLocalLogStartOffsets},
		{"remote", b.admin.ListLatestRemoteOffsets},
	}
	for _, question := range questions {
		listed, err := question.ask(b.context, topic)
		if err := note(question.what, listed, err); err != nil {
			return "", err
		}
	}
	for _, after := range []int64{0, 42_000, 42_001, 99_000, 99_001} {
		listed, err := b.admin.ListOffsetsAfterMilli(b.context, timeFirst+after, topic)
		if err := note(fmt.Sprintf("from %d", after), listed, err); err != nil {
			return "", err
		}
	}
	return strings.Join(shown, "; "), nil
}

func leaderEpochs(b *broker) (string, error) {
	topic, err := b.timed("leader-epochs")
	if err != nil {
		return "", err
	}
	var shown []string
	for _, epoch := range []int32{0, 1, 7} {
		var request kadm.OffsetForLeaderEpochRequest
		request.Add(topic, 0, epoch)
		got, err := b.admin.OffsetForLeaderEpoch(b.context, request)
		if err != nil {
			return "", err
		}
		answer := got[topic][0]
		shown = append(shown, fmt.Sprintf("epoch %d: %s, epoch %d ends at %d", epoch,
			errorName(answer.Err), answer.LeaderEpoch, answer.EndOffset))
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
		deleted, err := b.admin.DeleteRecords(b.context, offsetsOf(topic, before))
		if err != nil {
			return "", err
		}
		if err := deleted[topic][0].Err; err != nil {
			return "", fmt.Errorf("before %d: %w", before, err)
		}
		starts, err := b.admin.ListStartOffsets(b.context, topic)
		if err != nil {
			return "", err
		}
		start, _ := starts.Lookup(topic, 0)
		shown = append(shown, fmt.Sprintf("before %d: low %d, start %d", before,
			deleted[topic][0].LowWatermark, start.Offset))
	}
	return strings.Join(shown, "; "), nil
}

func deletion(b *broker) (string, error) {
	topic, err := b.topic("delete", 3)
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 3, 30)); err != nil {
		return "", err
	}
	deleted, err := b.admin.DeleteTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	if deleted[topic].Err != nil {
		return "", deleted[topic].Err
	}
	gone, err := scenario.Eventually("UNKNOWN_TOPIC_OR_PARTITION", func() (string, error) {
		topics, err := b.admin.ListTopics(b.context, topic)
		return errorName(topics[topic].Err), err
	})
	if err != nil {
		return "", err
	}
	if _, err := b.topic("delete", 1); err != nil {
		return "", fmt.Errorf("the same name again: %w", err)
	}
	ends, err := b.admin.ListEndOffsets(b.context, topic)
	if err != nil {
		return "", err
	}
	end, _ := ends.Lookup(topic, 0)
	return fmt.Sprintf("after: %s; made again: %d partition, end %d", gone, len(ends[topic]), end.Offset), nil
}

func cluster(b *broker) (string, error) {
	got, err := b.admin.BrokerMetadata(b.context)
	if err != nil {
		return "", err
	}
	for _, broker := range got.Brokers {
		if broker.Port <= 0 || broker.Host == "" {
			return "", fmt.Errorf("broker %d is at %q:%d", broker.NodeID, broker.Host, broker.Port)
		}
	}
	versions, err := b.admin.ApiVersions(b.context)
	if err != nil {
		return "", err
	}
	for _, version := range versions {
		if version.Err != nil {
			return "", version.Err
		}
	}
	return fmt.Sprintf("controller listed: %v, cluster id: %v, api versions of all: %v",
		slices.Contains(got.Brokers.NodeIDs(), got.Controller), got.Cluster != "",
		len(versions) == len(got.Brokers)), nil
}

func logDirs(b *broker) (string, error) {
	topic, err := b.topic("log-dirs", 2)
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 1, 100)); err != nil {
		return "", err
	}
	set := kadm.TopicsSet{}
	set.Add(topic, 0, 1)
	all, err := b.admin.DescribeAllLogDirs(b.context, set)
	if err != nil {
		return "", err
	}
	var shown []string
	for _, dirs := range all {
		for _, dir := range dirs {
			if dir.Err != nil {
				return "", dir.Err
			}
			if dir.Dir == "" || dir.TotalBytes <= 0 || dir.UsableBytes <= 0 {
				return "", fmt.Errorf("%q: %d bytes, %d usable", dir.Dir, dir.TotalBytes, dir.UsableBytes)
			}
			for _, held := range dir.Topics[topic] {
				shown = append(shown, fmt.Sprintf("partition %d: has bytes %v, lag %d, future %v",
					held.Partition, held.Size > 0, held.OffsetLag, held.IsFuture))
			}
		}
	}
	sort.Strings(shown)
	return strings.Join(shown, "; "), nil
}

func producers(b *broker) (string, error) {
	topic, err := b.topic("producers", 1)
	if err != nil {
		return "", err
	}
	if err := b.produce(numbered(topic, 1, 25)); err != nil {
		return "", err
	}
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	got, err := b.admin.DescribeProducers(b.context, set)
	if err != nil {
		return "", err
	}
	partition := got[topic].Partitions[0]
	if partition.Err != nil {
		return "", partition.Err
	}
	var shown []string
	for _, producer := range partition.ActiveProducers {
		shown = append(shown, fmt.Sprintf("epoch %d, last sequence %d, coordinator epoch %d, transaction from %d",
			producer.ProducerEpoch, producer.LastSequence, producer.CoordinatorEpoch, producer.CurrentTxnStartOffset))
	}
	return strings.Join(shown, "; "), nil
}

func electLeaders(b *broker) (string, error) {
	topic, err := b.topic("elect-leaders", 1)
	if err != nil {
		return "", err
	}
	set := kadm.TopicsSet{}
	set.Add(topic, 0, 1)
	var shown []string
	for _, how := range []kadm.ElectLeadersHow{kadm.ElectPreferredReplica, kadm.ElectLiveReplica} {
		got, err := b.admin.ElectLeaders(b.context, how, set)
		if err != nil {
			return "", err
		}
		for partition := range int32(2) {
			shown = append(shown, fmt.Sprintf("kind %d partition %d: %s", how, partition,
				errorName(got[topic][partition].Err)))
		}
	}
	return strings.Join(shown, "; "), nil
}

func reassignments(b *broker) (string, error) {
	topic, err := b.topic("reassignments", 1)
	if err != nil {
		return "", err
	}
	set := kadm.TopicsSet{}
	set.Add(topic, 0)
	listed, err := b.admin.ListPartitionReassignments(b.context, set)
	if err != nil {
		return "", err
	}
	topics, err := b.admin.ListTopics(b.context, topic)
	if err != nil {
		return "", err
	}
	shown := []string{fmt.Sprintf("listed: %d", len(listed[topic]))}
	for _, replicas := range [][]int32{nil, topics[topic].Partitions[0].Replicas, {4040}} {
		var request kadm.AlterPartitionAssignmentsReq
		if replicas == nil {
			request.CancelAssign(topic, 0)
		} else {
			request.Assign(topic, 0, replicas)
		}
		altered, err := b.admin.AlterPartitionAssignments(b.context, request)
		if err != nil {
			return "", err
		}
		what := []string{"cancel", "same", "unknown broker"}[len(shown)-1]
		shown = append(shown, what+": "+errorName(altered[topic][0].Err))
	}
	return strings.Join(shown, "; "), nil
}
