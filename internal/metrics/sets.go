package metrics

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
)

const (
	// maxSets bounds the label sets of a family. What comes beyond it goes to
	// one more set, whose label values are all "other".
	maxSets = 1000
	// maxValue is how many bytes of a label value are kept.
	maxValue = 128
	// end closes each value in a key. It is no byte of UTF-8, so no two lists
	// of values have the same key.
	end = "\xff"
)

// sets are the label sets of a family, each with its T.
type sets[T any] struct {
	name   string
	labels []string

	mu    sync.Mutex
	byKey map[string]*set[T]
}

type set[T any] struct {
	pairs string
	value T
}

func newSets[T any](name string, labels []string) *sets[T] {
	s := &sets[T]{name: name, labels: slices.Clone(labels), byKey: map[string]*set[T]{}}
	if len(labels) == 0 {
		s.update(nil, func(*T) {}) // without labels there is one set from the beginning
	}
	return s
}

// update runs change on the T of a label set, one after the other.
func (s *sets[T]) update(values []string, change func(*T)) {
	if len(values) != len(s.labels) {
		panic(fmt.Sprintf("metrics: %s has %d labels and was given %d values", s.name, len(s.labels), len(values)))
	}
	var room [256]byte
	key := room[:0]
	for _, value := range values {
		if len(value) > maxValue {
			value = value[:maxValue]
		}
		key = append(key, strings.ToValidUTF8(value, "\uFFFD")...)
		key = append(key, end...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byKey[string(key)]
	if found == nil {
		found = s.add(string(key))
	}
	change(&found.value)
}

func (s *sets[T]) add(key string) *set[T] {
	if len(s.byKey) >= maxSets {
		key = strings.Repeat("other"+end, len(s.labels))
		if other := s.byKey[key]; other != nil {
			return other
		}
	}
	added := &set[T]{pairs: pairs(s.labels, strings.Split(key, end))}
	s.byKey[key] = added
	return added
}

// snapshot copies the sets, in the order in which they are written.
func (s *sets[T]) snapshot() []set[T] {
	s.mu.Lock()
	copied := make([]set[T], 0, len(s.byKey))
	for _, set := range s.byKey {
		copied = append(copied, *set)
	}
	s.mu.Unlock()
	slices.SortFunc(copied, func(a, b set[T]) int { return cmp.Compare(a.pairs, b.pairs) })
	return copied
}
