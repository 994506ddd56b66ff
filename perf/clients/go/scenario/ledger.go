package scenario

import (
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Place is a partition of a topic.
type Place struct {
	Topic     string
	Partition int32
}

// Ledger tells who of a group owns which partition, and what was taken from it. A partition has one
// owner at a time, in a generation too, and a record is taken by the owner of its partition; all
// else is a complaint.
type Ledger struct {
	mutex       sync.Mutex
	owners      map[Place]string
	generations map[string]string
	served      map[Place]bool
	taken       map[Place]map[int64]bool
	changes     map[string]int
	zombies     map[string]bool
	complaints  []string
}

func newLedger() *Ledger {
	return &Ledger{
		owners: map[Place]string{}, generations: map[string]string{}, served: map[Place]bool{},
		taken: map[Place]map[int64]bool{}, changes: map[string]int{}, zombies: map[string]bool{},
	}
}

// Places are the partitions of what clients give as a map.
func Places(all map[string][]int32) []Place {
	var places []Place
	for topic, partitions := range all {
		for _, partition := range partitions {
			places = append(places, Place{topic, partition})
		}
	}
	return places
}

// Assigned notes that a member was given partitions; generation -1 is none that says anything.
func (l *Ledger) Assigned(member string, places []Place, generation int32) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.zombies[member] || len(places) == 0 {
		return
	}
	l.changes[member]++
	for _, place := range places {
		if owner, owned := l.owners[place]; owned && owner != member {
			l.complain("%s is given %v of %s", member, place, owner)
		}
		l.owners[place] = member
		key := fmt.Sprint(generation, place)
		if first, has := l.generations[key]; has && generation >= 0 && first != member {
			l.complain("%v: %s and %s in %d", place, first, member, generation)
		}
		l.generations[key] = member
		delete(l.served, place)
	}
}

// Revoked notes that a member no longer has partitions.
func (l *Ledger) Revoked(member string, places []Place) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if len(places) > 0 {
		l.changes[member]++
	}
	for _, place := range places {
		if l.owners[place] == member {
			delete(l.owners, place)
		}
	}
}

// Left notes that a member has nothing any more.
func (l *Ledger) Left(member string) {
	l.Revoked(member, l.of(member))
}

// Took notes a record.
func (l *Ledger) Took(member string, place Place, offset int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.taken[place] == nil {
		l.taken[place] = map[int64]bool{}
	}
	l.taken[place][offset] = true
	if l.zombies[member] {
		return
	}
	if l.owners[place] != member {
		l.complain("%s took of %v, which is not its own", member, place)
	}
	l.served[place] = true
}

// forsake: another will take its name, and its partitions in the same generation; until it knows of
// that, it owns nothing, whatever it says.
func (l *Ledger) forsake(member string) {
	l.Left(member)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.zombies[member] = true
	maps.DeleteFunc(l.generations, func(_, one string) bool { return one == member })
}

func (l *Ledger) complain(format string, values ...any) {
	l.complaints = append(l.complaints, fmt.Sprintf(format, values...))
}

func (l *Ledger) of(member string) []Place {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	var places []Place
	for place, owner := range l.owners {
		if owner == member {
			places = append(places, place)
		}
	}
	slices.SortFunc(places, func(a, b Place) int { return int(a.Partition - b.Partition) })
	return places
}

func (l *Ledger) changesOf(member string) int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.changes[member]
}

// shares tells how many partitions each owner has; those that it took nothing from yet not counted.
func (l *Ledger) shares() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	counts := map[string]int{}
	for place := range l.served {
		if owner, owned := l.owners[place]; owned {
			counts[owner]++
		}
	}
	var shares []int
	for _, count := range counts {
		shares = append(shares, count)
	}
	slices.Sort(shares)
	return fmt.Sprint(shares)
}

// hasTaken tells whether of these places these offsets were taken, and nothing else.
func (l *Ledger) hasTaken(places []Place, from, to int64) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, place := range places {
		for offset := from; offset < to; offset++ {
			if !l.taken[place][offset] {
				return false
			}
		}
		if int64(len(l.taken[place])) != to-from {
			return false
		}
	}
	return len(l.taken) == len(places)
}

func (l *Ledger) complained() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return slices.Clone(l.complaints)
}
