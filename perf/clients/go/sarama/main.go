// The program of sarama; see the package scenario.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/IBM/sarama"
)

const waitMax = 10 * time.Second

// broker is what every check is given: where the broker is, a client, an admin client, a producer.
type broker struct {
	bootstrap string
	prefix    string
	client    sarama.Client
	admin     sarama.ClusterAdmin
	sender    sarama.SyncProducer
}

type check = scenario.Check[*broker]

func main() {
	arguments := scenario.Parse("sarama")
	client, err := sarama.NewClient([]string{arguments.Bootstrap}, configuration())
	exitOn(err)
	admin, err := sarama.NewClusterAdminFromClient(client)
	exitOn(err)
	defer func() { _ = admin.Close() }()
	sender, err := sarama.NewSyncProducerFromClient(client)
	exitOn(err)
	defer func() { _ = sender.Close() }()
	to := &broker{arguments.Bootstrap, arguments.Prefix, client, admin, sender}
	checks := slices.Concat(
		recordChecks(), adminChecks(), errorChecks(), groupChecks(), transactionChecks())
	scenario.Play(arguments, checks, func() (*broker, func()) { return to, func() {} })
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sarama:", err)
		os.Exit(1)
	}
}

// configuration is what every client of a check starts from.
func configuration() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.ClientID = "ringlog-sarama"
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Return.Successes = true
	config.Producer.Return.Errors = true
	config.Producer.Retry.Max = 20
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Consumer.MaxWaitTime = 50 * time.Millisecond
	config.Consumer.Return.Errors = true
	config.Metadata.Retry.Max = 2
	config.Metadata.Retry.Backoff = 50 * time.Millisecond
	return config
}

// topic makes a topic of this check; settings are pairs of names and values.
func (b *broker) topic(name string, partitions int32, settings ...string) (string, error) {
	name = b.prefix + "-" + name
	detail := sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}
	detail.ConfigEntries = map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		detail.ConfigEntries[settings[i]] = &settings[i+1]
	}
	if err := b.admin.CreateTopic(name, &detail, false); err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	// Every partition's leader has to answer before anything is sent: a batch may otherwise be taken
	// where the one before it was refused.
	ends := map[int32]int64{}
	for partition := range partitions {
		ends[partition] = sarama.OffsetNewest
	}
	_, err := scenario.Eventually("NONE", func() (string, error) {
		if err := b.client.RefreshMetadata(name); err != nil {
			return err.Error(), nil
		}
		got, err := b.admin.ListOffsets(map[string]map[int32]int64{name: ends}, nil)
		for partition := range partitions {
			if result := got[name][partition]; result == nil || errorName(result.Err) != "NONE" {
				return "not ready", err
			}
		}
		return "NONE", err
	})
	return name, err
}

// produce sends the messages in their order, and waits until all are acknowledged.
func (b *broker) produce(config *sarama.Config, messages ...*sarama.ProducerMessage) error {
	producer, err := sarama.NewSyncProducer([]string{b.bootstrap}, config)
	if err != nil {
		return err
	}
	defer func() { _ = producer.Close() }()
	return firstOf(producer.SendMessages(messages))
}

// firstOf takes the first failure out of what a producer says of many messages.
func firstOf(err error) error {
	var many sarama.ProducerErrors
	if errors.As(err, &many) && len(many) > 0 {
		return many[0].Err
	}
	return err
}

// consume reads `count` messages of one topic: of each partition from the place that is given.
func (b *broker) consume(
	topic string, places map[int32]int64, count int,
) ([]*sarama.ConsumerMessage, error) {
	return b.consumeWith(configuration(), topic, places, count)
}

func (b *broker) consumeWith(
	config *sarama.Config, topic string, places map[int32]int64, count int,
) ([]*sarama.ConsumerMessage, error) {
	consumer, err := sarama.NewConsumer([]string{b.bootstrap}, config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = consumer.Close() }()
	got := make(chan *sarama.ConsumerMessage, count)
	failed := make(chan error, len(places))
	for partition, offset := range places {
		reader, err := consumer.ConsumePartition(topic, partition, offset)
		if err != nil {
			return nil, err
		}
		defer func() { _ = reader.Close() }()
		go func() {
			for message := range reader.Messages() {
				select {
				case got <- message:
				case <-time.After(waitMax):
				}
			}
		}()
		go func() {
			for err := range reader.Errors() {
				select {
				case failed <- err:
				default:
				}
			}
		}()
	}
	var messages []*sarama.ConsumerMessage
	deadline := time.After(waitMax)
	for len(messages) < count {
		select {
		case message := <-got:
			messages = append(messages, message)
		case err := <-failed:
			return messages, fmt.Errorf("%d of %d consumed: %w", len(messages), count, err)
		case <-deadline:
			return messages, fmt.Errorf("%d of %d consumed in %s", len(messages), count, waitMax)
		}
	}
	return messages, nil
}

func fromStart(partitions int32) map[int32]int64 {
	places := map[int32]int64{}
	for partition := range partitions {
		places[partition] = sarama.OffsetOldest
	}
	return places
}

var names = map[sarama.KError]string{
	sarama.ErrNoError:                  "NONE",
	sarama.ErrOffsetOutOfRange:         "OFFSET_OUT_OF_RANGE",
	sarama.ErrUnknownTopicOrPartition:  "UNKNOWN_TOPIC_OR_PARTITION",
	sarama.ErrMessageSizeTooLarge:      "MESSAGE_TOO_LARGE",
	sarama.ErrMessageSetSizeTooLarge:   "RECORD_LIST_TOO_LARGE",
	sarama.ErrInvalidTopic:             "INVALID_TOPIC_EXCEPTION",
	sarama.ErrTopicAlreadyExists:       "TOPIC_ALREADY_EXISTS",
	sarama.ErrInvalidPartitions:        "INVALID_PARTITIONS",
	sarama.ErrInvalidReplicationFactor: "INVALID_REPLICATION_FACTOR",
	sarama.ErrInvalidReplicaAssignment: "INVALID_REPLICA_ASSIGNMENT",
	sarama.ErrInvalidConfig:            "INVALID_CONFIG",
	sarama.ErrInvalidRequest:           "INVALID_REQUEST",
	sarama.ErrElectionNotNeeded:        "ELECTION_NOT_NEEDED",
	sarama.ErrUnknownMemberId:          "UNKNOWN_MEMBER_ID",
	sarama.ErrNonEmptyGroup:            "NON_EMPTY_GROUP",
	sarama.ErrGroupIDNotFound:          "GROUP_ID_NOT_FOUND",
	sarama.ErrGroupSubscribedToTopic:   "GROUP_SUBSCRIBED_TO_TOPIC",
	sarama.ErrFencedInstancedId:        "FENCED_INSTANCE_ID",
	sarama.ErrInvalidProducerEpoch:     "INVALID_PRODUCER_EPOCH",
	sarama.ErrProducerFenced:           "PRODUCER_FENCED",
}

// errorName is the protocol's name of an error that the broker answered, or what else went wrong.
func errorName(err error) string {
	var code sarama.KError
	switch {
	case err == nil:
		return "NONE"
	case errors.As(err, &code):
		if name, ok := names[code]; ok {
			return name
		}
		return fmt.Sprintf("code %d", int16(code))
	default:
		return err.Error()
	}
}
