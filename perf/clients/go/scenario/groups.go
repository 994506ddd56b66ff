package scenario

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	groupPartitions = 6
	groupWaitMax    = 25 * time.Second
	// SessionTimeout is the shortest that brokers allow by default.
	SessionTimeout = 6 * time.Second
	// HeartbeatInterval lets members of classic groups learn soon of a change.
	HeartbeatInterval = 200 * time.Millisecond
)

// Ways of sharing partitions out.
const (
	Eager       = "eager"
	Cooperative = "cooperative"
	// Consumer is the protocol of KIP-848.
	Consumer = "consumer"
)

// Joining is how a member joins a group.
type Joining struct {
	Name, Group, How, Instance string
	Topics                     []string
	// Pattern is a regular expression that the broker resolves; empty: the topics.
	Pattern string
}

// Member takes records, tells the ledger, and commits what it took, until it has to leave.
type Member interface {
	// Leave makes it leave, waits for that, and returns why it went if not for this.
	Leave() error
	// Failure is why it ended of itself, if it did.
	Failure() error
}

// Client is what the scenario needs of a client.
type Client interface {
	// Topic makes a topic; its name begins with the program's prefix.
	Topic(name string, partitions int32) (string, error)
	// Group is the name of a group of this program.
	Group(name string) string
	// Send sends values to a partition and waits until all are acknowledged.
	Send(topic string, partition int32, values ...string) error
	Join(joining Joining, ledger *Ledger) (Member, error)
	// Committed is the committed offset of each partition; -1 for none.
	Committed(group, topic string, partitions int32) ([]int64, error)
	ErrorName(err error) string
}

// Flow is a group over some topics, to which records go all the time while something is awaited.
type Flow struct {
	Group   string
	Topics  []string
	client  Client
	ledger  *Ledger
	members map[string]Member
	sent    int64
}

// NewFlow makes the topics of a check.
func NewFlow(client Client, check string, topics int) (*Flow, error) {
	flow := &Flow{Group: client.Group(check), client: client, ledger: newLedger()}
	flow.members = map[string]Member{}
	for number := range topics {
		topic, err := client.Topic(fmt.Sprintf("%s-%d", check, number), groupPartitions)
		if err != nil {
			return nil, err
		}
		flow.Topics = append(flow.Topics, topic)
	}
	return flow, nil
}

// Close lets go of the members that are left after a failure.
func (f *Flow) Close() {
	for _, member := range f.members {
		_ = member.Leave()
	}
}

// Join adds a member.
func (f *Flow) Join(name string, joining Joining) error {
	joining.Name, joining.Group, joining.Topics = name, f.Group, f.Topics
	member, err := f.client.Join(joining, f.ledger)
	if err == nil {
		f.members[name] = member
	}
	return err
}

// Leave makes a member leave.
func (f *Flow) Leave(name string) error {
	member := f.members[name]
	delete(f.members, name)
	return member.Leave()
}

// Send sends a record to each partition.
func (f *Flow) Send() error {
	for _, place := range f.places() {
		if err := f.client.Send(place.Topic, place.Partition, fmt.Sprint(f.sent)); err != nil {
			return err
		}
	}
	f.sent++
	return nil
}

func (f *Flow) places() []Place {
	var places []Place
	for _, topic := range f.Topics {
		for partition := range int32(groupPartitions) {
			places = append(places, Place{topic, partition})
		}
	}
	return places
}

func (f *Flow) until(what string, isFlowing bool, condition func() bool) error {
	deadline := time.Now().Add(groupWaitMax)
	for !condition() {
		for name, member := range f.members {
			if err := member.Failure(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if complaints := f.ledger.complained(); complaints != nil || time.Now().After(deadline) {
			return fmt.Errorf("no %s; shares %s, %q", what, f.ledger.shares(), complaints)
		}
		if isFlowing {
			if err := f.Send(); err != nil {
				return err
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// UntilShared waits until each member has so many partitions, and took records of all of them.
func (f *Flow) UntilShared(shares ...int) error {
	wanted := fmt.Sprint(shares)
	return f.until("shares "+wanted, true, func() bool { return f.ledger.shares() == wanted })
}

// UntilTaken waits until all that was sent is taken.
func (f *Flow) UntilTaken() error {
	all := func() bool { return f.ledger.hasTaken(f.places(), 0, f.sent) }
	return f.until("end of what was sent", false, all)
}

// Finish sees to it that all is taken, all leave, and that what is committed is what was taken.
func (f *Flow) Finish() error {
	if err := f.UntilTaken(); err != nil {
		return err
	}
	for name := range f.members {
		if err := f.Leave(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if complaints := f.ledger.complained(); complaints != nil {
		return fmt.Errorf("%q", complaints)
	}
	return f.expectCommitted(f.sent)
}

func (f *Flow) expectCommitted(offset int64) error {
	for _, topic := range f.Topics {
		found, err := f.client.Committed(f.Group, topic, groupPartitions)
		if err != nil {
			return err
		}
		wanted := slices.Repeat([]int64{offset}, groupPartitions)
		if !slices.Equal(found, wanted) {
			return fmt.Errorf("committed: %v, sent: %v", found, wanted)
		}
	}
	return nil
}

// fresh: a new member of the group reads what is new, and nothing old.
func (f *Flow) fresh(joining Joining) error {
	f.ledger = newLedger()
	if err := errors.Join(f.Join("fresh", joining), f.Send()); err != nil {
		return err
	}
	isNew := func() bool { return f.ledger.hasTaken(f.places(), f.sent-1, f.sent) }
	if err := f.until("end of what is new, alone", false, isNew); err != nil {
		return err
	}
	return f.Leave("fresh")
}

// first runs the steps up to the first that fails.
func first(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Rebalances: two, three, then two members while records flow.
func Rebalances(client Client, how string) (string, error) {
	flow, err := NewFlow(client, "groups-"+how, 1)
	if err != nil {
		return "", err
	}
	defer flow.Close()
	joining := Joining{How: how}
	err = first(
		func() error { return flow.Join("one", joining) },
		func() error { return flow.Join("two", joining) },
		func() error { return flow.UntilShared(3, 3) },
		func() error { return flow.Join("three", joining) },
		func() error { return flow.UntilShared(2, 2, 2) },
		func() error { return flow.Leave("one") },
		func() error { return flow.UntilShared(3, 3) },
		flow.Finish,
		func() error { return flow.fresh(joining) },
	)
	return "3 3, 2 2 2, 3 3: all taken, one owner each, committed; a fresh one: the new only", err
}

// Static: one of two members with names restarts; then the other's name is taken by a third.
func Static(client Client) (string, error) {
	flow, err := NewFlow(client, "groups-static", 1)
	if err != nil {
		return "", err
	}
	defer flow.Close()
	one := Joining{How: Eager, Instance: "instance-1"}
	two := Joining{How: Eager, Instance: "instance-2"}
	err = first(
		func() error { return flow.Join("one", one) },
		func() error { return flow.Join("two", two) },
		func() error { return flow.UntilShared(3, 3) },
	)
	if err != nil {
		return "", err
	}
	held, changes := flow.ledger.of("one"), flow.ledger.changesOf("two")
	err = first(
		func() error { return flow.Leave("one") },
		func() error { return flow.Join("one", one) },
		func() error { return flow.UntilShared(3, 3) },
	)
	if err != nil {
		return "", err
	}
	if now := flow.ledger.of("one"); !slices.Equal(held, now) {
		return "", fmt.Errorf("had %v, and after a restart %v", held, now)
	}
	if now := flow.ledger.changesOf("two"); now != changes {
		return "", fmt.Errorf("the other: %d changes, then %d", changes, now)
	}
	older := flow.members["two"]
	delete(flow.members, "two")
	flow.ledger.forsake("two")
	isFenced := func() bool { return older.Failure() != nil }
	err = first(
		func() error { return flow.Join("late", two) },
		func() error { return flow.until("end of the older", true, isFenced) },
		func() error { return flow.UntilShared(3, 3) },
		flow.Finish,
	)
	return "restarted: the same partitions, fenced: " + client.ErrorName(older.Failure()), err
}

// Pattern: two members subscribe to what has a name like this.
func Pattern(client Client) (string, error) {
	flow, err := NewFlow(client, "groups-pattern", 2)
	if err != nil {
		return "", err
	}
	defer flow.Close()
	joining := Joining{How: Consumer, Pattern: flow.Group + "-[0-9]"}
	err = first(
		func() error { return flow.Join("one", joining) },
		func() error { return flow.Join("two", joining) },
		func() error { return flow.UntilShared(6, 6) },
		flow.Finish,
	)
	return "6 6", err
}
