// A franz-go client (kgo and kadm) that checks a broker.
//
//	build: go build -o OUTPUT .        (in this folder; versions are pinned by go.mod and go.sum)
//	start: OUTPUT --bootstrap HOST:PORT --prefix PREFIX [--only CHECK,CHECK]
//
// Every line of output is one check: {"check","result","detail","answer"}. The answer has nothing in
// it that differs from one broker or run to another, so that two brokers can be compared by it. All
// topics are made here, through kadm, and their names begin with the prefix. The exit status is 0
// whenever the program came to its end, whatever the checks found.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	checkSecondsMax = 15
	shownSecondsMax = 3
)

type outcome struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail"`
	Answer string `json:"answer"`
}

// broker is what every check is given: where the broker is, and an admin client to it.
type broker struct {
	context   context.Context
	bootstrap string
	prefix    string
	admin     *kadm.Client
}

type check struct {
	name string
	run  func(*broker) (answer string, err error)
}

func main() {
	bootstrap := flag.String("bootstrap", "127.0.0.1:9092", "address of the broker")
	prefix := flag.String("prefix", "franz-go", "what the names of topics begin with")
	only := flag.String("only", "", "the checks to run, with commas between; all if empty")
	flag.Parse()
	checks := slices.Concat(recordChecks(), adminChecks(), errorChecks())
	var chosen []string
	if *only != "" {
		chosen = strings.Split(*only, ",")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
	defer client.Close()
	lines := json.NewEncoder(os.Stdout)
	lines.SetEscapeHTML(false)
	for _, check := range checks {
		if chosen != nil && !slices.Contains(chosen, check.name) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), checkSecondsMax*time.Second)
		began := time.Now()
		to := &broker{ctx, *bootstrap, *prefix, kadm.NewClient(client)}
		answer, err := check.run(to)
		cancel()
		line := outcome{Check: check.name, Result: "pass", Answer: answer}
		line.Detail = fmt.Sprintf("%d ms", time.Since(began).Milliseconds())
		if err != nil {
			line.Result, line.Detail = "fail", err.Error()
		}
		_ = lines.Encode(line)
	}
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
	_, err := b.eventually(fmt.Sprint(partitions), func() (string, error) {
		ends, err := b.admin.ListEndOffsets(b.context, name)
		if err == nil && ends.Error() != nil {
			return ends.Error().Error(), nil
		}
		return fmt.Sprint(len(ends[name])), err
	})
	return name, err
}

// eventually asks until the answer is the wanted one: a broker may take a moment to show what its
// controller has done. What it says last is returned.
func (b *broker) eventually(wanted string, ask func() (string, error)) (string, error) {
	deadline := time.Now().Add(shownSecondsMax * time.Second)
	for {
		answer, err := ask()
		if answer == wanted || err != nil || time.Now().After(deadline) {
			return answer, err
		}
		time.Sleep(20 * time.Millisecond)
	}
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

// expect is for answers that have to be these: an error if not.
func expect(answer, wanted string) (string, error) {
	if answer != wanted {
		return answer, fmt.Errorf("answered %q, expected %q", answer, wanted)
	}
	return answer, nil
}
