package scenario

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

const (
	committed   = "read_committed"
	uncommitted = "read_uncommitted"
	// TransactionTimeout is long enough to never pass.
	TransactionTimeout = time.Minute
)

// Producer is a producer of transactions, all of them in partition 0.
type Producer interface {
	Begin() error
	Send(topic string, values ...string) error
	Commit() error
	Abort() error
	Close()
}

// TransactionalClient is what checks of transactions need beside.
type TransactionalClient interface {
	Client
	Bootstrap() string
	// Transactional makes a producer and initialises it, so that older ones of its name are fenced.
	Transactional(name string, timeout time.Duration) (Producer, error)
	// Read is what the client itself reads from the beginning of partition 0, as offset:value.
	Read(topic string, isCommitted bool, count int) ([]string, error)
	// Transform reads `count` records of a topic in a group, and writes "partition-value" of each to
	// another; every third transaction is aborted and done anew.
	Transform(group, input, output string, count int) error
	// End is the next offset of partition 0.
	End(topic string) (int64, error)
}

// kcat tells of everything to the end that it is shown, in a form of its language.
func kcat(client TransactionalClient, topic, isolation, form string) ([]string, error) {
	command := exec.Command("kcat", "-C", "-b", client.Bootstrap(), "-t", topic, "-o", "beginning",
		"-e", "-q", "-f", form, "-X", "fetch.wait.max.ms=50", "-X", "isolation.level="+isolation)
	output, err := command.Output()
	return strings.Fields(string(output)), err
}

// untilShown waits: a coordinator may answer before all partitions have its decision.
func untilShown(client TransactionalClient, topic string, wanted ...string) error {
	found, err := Eventually(fmt.Sprint(wanted), func() (string, error) {
		lines, err := kcat(client, topic, committed, "%o:%s ")
		return fmt.Sprint(lines), err
	})
	if err == nil {
		_, err = Expect(found, fmt.Sprint(wanted))
	}
	return err
}

// shown is what the client itself and kcat both read, committed and not.
func shown(client TransactionalClient, topic string) (string, error) {
	var both []string
	for _, isolation := range []string{committed, uncommitted} {
		wanted, err := kcat(client, topic, isolation, "%o:%s ")
		if err != nil {
			return "", err
		}
		found, err := client.Read(topic, isolation == committed, len(wanted))
		if err != nil {
			return "", fmt.Errorf("%s: %w", isolation, err)
		}
		if !slices.Equal(found, wanted) {
			return "", fmt.Errorf("%s: %v, by kcat: %v", isolation, found, wanted)
		}
		both = append(both, fmt.Sprint(wanted))
	}
	return strings.Join(both, " of "), nil
}

func whole(producer Producer, topic string, end func() error, values ...string) error {
	return first(producer.Begin, func() error { return producer.Send(topic, values...) }, end)
}

// Commit: what is open is not shown to who reads what is committed, and then it is.
func Commit(client TransactionalClient) (string, error) {
	topic, err := client.Topic("transactions-commit", 1)
	if err != nil {
		return "", err
	}
	producer, err := client.Transactional("transactions-commit", TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer producer.Close()
	open, then := "", ""
	see := func(what *string) func() error {
		return func() error {
			var err error
			*what, err = shown(client, topic)
			return err
		}
	}
	err = first(
		func() error { return whole(producer, topic, see(&open), "a", "b") },
		producer.Commit,
		func() error { return whole(producer, topic, producer.Commit, "c") },
		func() error { return untilShown(client, topic, "0:a", "1:b", "3:c") },
		see(&then),
	)
	return "open: " + open + ", then " + then, err
}

// Abort: of four transactions two are aborted.
func Abort(client TransactionalClient) (string, error) {
	topic, err := client.Topic("transactions-abort", 1)
	if err != nil {
		return "", err
	}
	producer, err := client.Transactional("transactions-abort", TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer producer.Close()
	err = first(
		func() error { return whole(producer, topic, producer.Abort, "a", "a") },
		func() error { return whole(producer, topic, producer.Commit, "b", "b") },
		func() error { return whole(producer, topic, producer.Abort, "c", "c") },
		func() error { return whole(producer, topic, producer.Commit, "d", "d") },
		func() error { return untilShown(client, topic, "3:b", "4:b", "9:d", "10:d") },
	)
	if err != nil {
		return "", err
	}
	return shown(client, topic)
}

// Offsets: consume, transform, produce, with offsets in the transactions.
func Offsets(client TransactionalClient) (string, error) {
	output, err := client.Topic("transactions-offsets-output", 1)
	if err != nil {
		return "", err
	}
	flow, err := NewFlow(client, "transactions-offsets", 1)
	if err != nil {
		return "", err
	}
	var wanted []string
	for number := range 10 {
		if err := flow.Send(); err != nil {
			return "", err
		}
		for partition := range groupPartitions {
			wanted = append(wanted, fmt.Sprintf("%d-%d", partition, number))
		}
	}
	if err := client.Transform(flow.Group, flow.Topics[0], output, len(wanted)); err != nil {
		return "", err
	}
	slices.Sort(wanted)
	found, err := Eventually(fmt.Sprint(wanted), func() (string, error) {
		values, err := kcat(client, output, committed, "%s ")
		slices.Sort(values)
		return fmt.Sprint(values), err
	})
	if err != nil {
		return "", err
	}
	if _, err := Expect(found, fmt.Sprint(wanted)); err != nil {
		return "", err
	}
	return "60 records, each once; 10 committed of each partition", flow.expectCommitted(10)
}

// Fencing: a second producer of one name ends the first.
func Fencing(client TransactionalClient) (string, error) {
	topic, err := client.Topic("transactions-fencing", 1)
	if err != nil {
		return "", err
	}
	old, err := client.Transactional("transactions-fencing", TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer old.Close()
	if err := first(old.Begin, func() error { return old.Send(topic, "a") }); err != nil {
		return "", err
	}
	late, err := client.Transactional("transactions-fencing", TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer late.Close()
	got := Answers{Name: client.ErrorName}
	got.Add("send", old.Send(topic, "b"))
	got.Add("commit", old.Commit())
	if err := whole(late, topic, late.Commit, "c"); err != nil {
		return "", err
	}
	if err := untilShown(client, topic, "2:c"); err != nil {
		return "", err
	}
	return got.All()
}

// Timeout: the broker aborts what nobody ends.
func Timeout(client TransactionalClient) (string, error) {
	topic, err := client.Topic("transactions-timeout", 1)
	if err != nil {
		return "", err
	}
	late, err := client.Transactional("transactions-timeout", time.Second)
	if err != nil {
		return "", err
	}
	defer late.Close()
	if err := first(late.Begin, func() error { return late.Send(topic, "a") }); err != nil {
		return "", err
	}
	// The marker of its end stands behind, once the broker has aborted it.
	deadline := time.Now().Add(groupWaitMax)
	for end := int64(0); end < 2; {
		if end, err = client.End(topic); err != nil {
			return "", err
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("not aborted, end %d", end)
		}
		time.Sleep(20 * time.Millisecond)
	}
	got := Answers{Name: client.ErrorName}
	got.Add("commit", late.Commit())
	next, err := client.Transactional("transactions-timeout", TransactionTimeout)
	if err != nil {
		return "", err
	}
	defer next.Close()
	if err := whole(next, topic, next.Commit, "b"); err != nil {
		return "", err
	}
	if err := untilShown(client, topic, "2:b"); err != nil {
		return "", err
	}
	return got.All()
}
