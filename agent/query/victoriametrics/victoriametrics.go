// Package victoriametrics reads series from VictoriaMetrics: each tier of the
// history is one node, to which the agents of many hosts push.
//
// A Node is a query.Source. Only samples are fetched; the same engine evaluates
// expressions as for the embedded tiers, because the query language of
// VictoriaMetrics differs in details. Read this file first, then querier.go (what
// is requested), request.go (how) and export.go (how the response is read).
package victoriametrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// Options configure a Node.
type Options struct {
	// URL is the address of the node, without the path of the API.
	URL string
	// Tier is the tier that the node keeps.
	Tier store.TierConfig
	// MaxBytes is the memory for the samples of one query; 0 means the default.
	MaxBytes int
	// Timeout is the timeout of one request; 0 means the default.
	Timeout time.Duration
	// Now is the time of the newest samples; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

const (
	// defaultMaxBytes holds about 30 million samples of an ordinary machine.
	defaultMaxBytes = 64 << 20
	// defaultTimeout leaves half of a query's time to the local cache.
	defaultTimeout = 15 * time.Second
)

// Node is one tier, kept by one node of VictoriaMetrics.
type Node struct {
	options Options
	base    *url.URL
	client  *http.Client

	// looking is held while the oldest sample is looked up.
	looking sync.Mutex

	mu sync.Mutex
	// first is the time of the oldest sample, looked when it was looked up; mu
	// protects these and the following.
	first, looked time.Time
	// down is why the node does not respond, nil while it does; until is when it is
	// requested again.
	down  error
	until time.Time
}

var _ query.Remote = (*Node)(nil)

// New returns a node; it makes no request.
func New(o Options) (*Node, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("URL of tier %s: %w", TierName(o.Tier), err)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = o.Log.With("tier", TierName(o.Tier), "address", base.Host)
	return &Node{options: o, base: base, client: newClient(base)}, nil
}

// TierName is the name of a tier in errors and results, such as 1s or 5m.
func TierName(tier store.TierConfig) string { return model.Duration(tier.Resolution).String() }

// Name implements query.Source.
func (n *Node) Name() string { return TierName(n.options.Tier) }

// Resolution implements query.Source.
func (n *Node) Resolution() time.Duration { return n.options.Tier.Resolution }

// Retention is how long the node keeps samples.
func (n *Node) Retention() time.Duration { return n.options.Tier.Retention }

// latency is how long samples take to arrive if all is well: a second in the agent,
// one in the Collector's queue, and two until the node shows them, with a margin.
const latency = 10 * time.Second

// Latency implements query.Remote.
func (*Node) Latency() time.Duration { return latency }

// closed is how long after its end a bucket is sent.
const closed = 2 * time.Second

// Newest is the end of the newest bucket that has arrived, if all is well.
func (n *Node) Newest() time.Time {
	return n.options.Now().Add(-closed - latency).Truncate(n.options.Tier.Resolution)
}

// Address is the host and port of the node.
func (n *Node) Address() string { return n.base.Host }

// Queryable implements query.Source.
func (n *Node) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		return &querier{node: n, mint: mint, maxt: maxt, room: n.options.MaxBytes}, nil
	})
}

// Close closes idle connections.
func (n *Node) Close() error {
	n.client.CloseIdleConnections()
	return nil
}

// checkEvery is the interval of Run.
const checkEvery = 5 * time.Second

// Run checks the node regularly, so that its health is known without queries.
func (n *Node) Run(ctx context.Context) error {
	every := time.NewTicker(checkEvery)
	defer every.Stop()
	for {
		n.Check(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// Check requests whether the node responds.
func (n *Node) Check(ctx context.Context) {
	err := n.responds(ctx)
	if ctx.Err() != nil {
		return
	}
	n.setResult(err)
	if err == nil {
		n.look(ctx)
	}
}
