package victoriametrics

import (
	"context"
	"net/url"
	"sort"
	"strconv"
	"time"
)

const (
	// lookEvery is how often the oldest sample is looked up, emptyEvery while the
	// node is empty.
	lookEvery  = time.Hour
	emptyEvery = 5 * time.Second
	// lookTimeout is how long a query may wait for that.
	lookTimeout = 3 * time.Second
	// span is the number of days searched at once: for more, the node ignores its
	// index by day.
	span = 30
)

// Oldest implements query.Source. It is the start of the first day with data, or
// that of the retention.
func (n *Node) Oldest() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	n.look(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.first.IsZero() {
		return time.Time{}
	}
	if kept := n.options.Now().Add(-n.options.Tier.Retention); n.first.Before(kept) {
		return kept
	}
	return n.first
}

// look refreshes the time of the oldest sample if that is due.
func (n *Node) look(ctx context.Context) {
	if !n.due() {
		return
	}
	if !n.looking.TryLock() {
		return // Another goroutine does; meanwhile the old value is valid.
	}
	defer n.looking.Unlock()
	first, err := n.firstDay(ctx)
	if err != nil {
		return // It is recorded already, and the old value remains valid.
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.first, n.looked = first, time.Now()
}

func (n *Node) due() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	every := lookEvery
	if n.first.IsZero() {
		every = emptyEvery
	}
	return time.Since(n.looked) >= every
}

// firstDay finds the first day with series; the zero time if there is none.
func (n *Node) firstDay(ctx context.Context) (time.Time, error) {
	today := n.options.Now().UTC().Truncate(day)
	from := today.Add(-n.options.Tier.Retention).Truncate(day)
	for ; !from.After(today.Add(day)); from = from.Add(span * day) {
		any, err := n.holds(ctx, from, from.Add(span*day))
		if err != nil {
			return time.Time{}, err
		}
		if !any {
			continue
		}
		var failed error
		days := sort.Search(span-1, func(i int) bool {
			any, err := n.holds(ctx, from, from.Add(time.Duration(i+1)*day))
			if err != nil {
				failed = err
			}
			return any
		})
		return from.Add(time.Duration(days) * day), failed
	}
	return time.Time{}, nil
}

// holds reports whether there are series on the days in [from, to). The node stops at the
// first name that it finds: series that match anything are counted first, however few
// are asked for, and above -search.maxSeries refused.
func (n *Node) holds(ctx context.Context, from, to time.Time) (bool, error) {
	found, err := get[[]string](ctx, n, "/api/v1/label/__name__/values", url.Values{
		"limit": {"1"},
		"start": {strconv.FormatInt(from.UnixMilli(), 10)}, "end": {strconv.FormatInt(to.UnixMilli()-1, 10)},
	})
	return len(found) > 0, err
}
