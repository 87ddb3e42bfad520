package exposition

import (
	"fmt"
	"sync"
)

// MaxTotal is how many bytes all sources of custom metrics together may give: what they
// give is kept, parsed and merged.
const MaxTotal = 8 << 20

// Budget is MaxTotal, divided among the sources: who comes first has it. It is safe for
// concurrent use.
type Budget struct {
	mu   sync.Mutex
	held map[*Share]int64
}

// Share is what one source holds of a Budget.
type Share struct {
	budget *Budget
	ended  bool // protected by budget.mu
}

// Share returns the share of another source, which holds nothing yet.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// Hold makes a source hold a number of bytes in all. On an error it holds what it held.
func (s *Share) Hold(bytes int64) error {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	others := int64(0)
	for other, n := range b.held {
		if other != s {
			others += n
		}
	}
	if others+bytes > MaxTotal {
		return fmt.Errorf("all sources together can have at most %d bytes, of which the others have %d, and this would be %d", MaxTotal, others, bytes)
	}
	if b.held == nil {
		b.held = map[*Share]int64{}
	}
	if !s.ended {
		b.held[s] = bytes
	}
	return nil
}

// End gives the share back. The source holds nothing any more, whatever it asks for.
func (s *Share) End() {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	s.ended = true
	delete(s.budget.held, s)
}
