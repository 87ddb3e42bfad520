package victoriametrics

import (
	"context"
	"net/url"
	"sort"
	"strconv"
	"time"
)

const (
	// lookEvery is how often it is looked how far a node reaches back, emptyEvery
	// where it holds nothing yet.
	lookEvery  = time.Hour
	emptyEvery = 5 * time.Second
	// lookTimeout is how long a question may wait for that.
	lookTimeout = 3 * time.Second
	// span is how many days are looked through at once: for more, the node does not
	// look at the days.
	span = 30
)

// Oldest implements store.Source. It is the first moment of the first day of
// which the node holds something, or that of its retention. The node is asked
// once and then now and then.
func (n *Node) Oldest() time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	n.look(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.first.IsZero() {
		return time.Time{}
	}
	if kept := time.Now().Add(-n.options.Tier.Retention); n.first.Before(kept) {
		return kept
	}
	return n.first
}

// look finds out how far the node reaches back, where that is due.
func (n *Node) look(ctx context.Context) {
	if !n.due() {
		return
	}
	if !n.looking.TryLock() {
		return // Somebody looks, and who knows nothing yet gets nothing yet.
	}
	defer n.looking.Unlock()
	first, err := n.firstDay(ctx)
	if err != nil {
		return // It is noted already, and what was known before still holds.
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

// firstDay searches the first day of which there are series; the zero time for
// none.
func (n *Node) firstDay(ctx context.Context) (time.Time, error) {
	today := time.Now().UTC().Truncate(day)
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

// holds tells whether there are series of the days from one to before another.
func (n *Node) holds(ctx context.Context, from, to time.Time) (bool, error) {
	found, err := get[[]map[string]string](ctx, n, "/api/v1/series", url.Values{
		"match[]": {`{__name__!=""}`}, "limit": {"1"},
		"start": {strconv.FormatInt(from.UnixMilli(), 10)}, "end": {strconv.FormatInt(to.UnixMilli()-1, 10)},
	})
	return len(found) > 0, err
}
