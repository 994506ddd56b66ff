// The program of franz-go (kgo and kadm); see the package scenario.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"ringlog/perf/clients/go/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const checkSecondsMax = 40

// broker is what every check is given: where the broker is, an admin client to it, and a producer.
type broker struct {
	context   context.Context
	bootstrap string
	prefix    string
	admin     *kadm.Client
	sender    *kgo.Client
}

type check = scenario.Check[*broker]

func main() {
	arguments := scenario.Parse("franz-go")
	to := &broker{bootstrap: arguments.Bootstrap, prefix: arguments.Prefix}
	sender, err := to.client()
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
	defer sender.Close()
	checks := slices.Concat(
		recordChecks(), adminChecks(), errorChecks(), groupChecks(), transactionChecks())
	scenario.Play(arguments, checks, func() (*broker, func()) {
		ctx, cancel := context.WithTimeout(context.Background(), checkSecondsMax*time.Second)
		return &broker{ctx, to.bootstrap, to.prefix, kadm.NewClient(sender), sender}, cancel
	})
}

// topic makes a topic of this check; settings are pairs of names and values.
func (b *broker) topic(name string, partitions int32, settings ...string) (string, error) {
	name = b.prefix + "-" + name
	configs := map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	if _, err := b.admin.CreateTopic(b.context, partitions, 1, configs, name); err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	// Every partition's leader has to answer before anything is sent: a batch may otherwise be taken
	// where the one before it was refused.
	_, err := scenario.Eventually(fmt.Sprint(partitions), func() (string, error) {
		ends, err := b.admin.ListEndOffsets(b.context, name)
		if err == nil && ends.Error() != nil {
			return ends.Error().Error(), nil
		}
		return fmt.Sprint(len(ends[name])), err
	})
	return name, err
}

// client makes a client that chooses partitions by hand and asks the broker often.
func (b *broker) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(b.bootstrap),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.FetchMaxWait(50 * time.Millisecond),
		kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.UnknownTopicRetries(2),
		kgo.ProducerLinger(5 * time.Millisecond),
	}, options...)...)
}

// produce sends the records with a client of its own and waits until all are acknowledged.
func (b *broker) produce(records []*kgo.Record, options ...kgo.Opt) error {
	client, err := b.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(b.context, records...).FirstErr()
}

// consume reads `count` records of one topic from the given places, and fails on any error.
func (b *broker) consume(
	topic string, places map[int32]kgo.Offset, count int, options ...kgo.Opt,
) ([]*kgo.Record, error) {
	assigned := map[string]map[int32]kgo.Offset{topic: places}
	client, err := b.client(append(options, kgo.ConsumePartitions(assigned))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(b.context)
		if err := fetches.Err(); err != nil {
			return records, fmt.Errorf("%d of %d consumed: %w", len(records), count, err)
		}
		records = append(records, fetches.Records()...)
	}
	if len(records) > count {
		return records, fmt.Errorf("%d consumed where %d were sent", len(records), count)
	}
	return records, nil
}

func fromStart(partitions int32) map[int32]kgo.Offset {
	places := map[int32]kgo.Offset{}
	for partition := range partitions {
		places[partition] = kgo.NewOffset().AtStart()
	}
	return places
}

// errorName is the protocol's name of an error that the broker answered, or what else went wrong.
func errorName(err error) string {
	var known *kerr.Error
	switch {
	case err == nil:
		return "NONE"
	case errors.As(err, &known):
		return known.Message
	default:
		return err.Error()
	}
}
