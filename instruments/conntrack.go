package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Conntrack is a reading of the kernel's tracking of connections; a number above 2^63-1
// is unknown.
type Conntrack struct {
	misread

	// Count is the number of connections that are tracked, Max how many there can be.
	Count, Max uint64
	// Events are in the order of conntrackEvents, summed over processors.
	Events [conntrackEventCount]uint64
}

const conntrackEventCount = 8

// conntrackEventNames are the columns of /proc/net/stat/nf_conntrack that are reported.
var conntrackEventNames = [conntrackEventCount]string{"found", "invalid", "ignore", "insert", "insert_failed", "drop", "early_drop", "search_restart"}

var (
	conntrackCount = &Metric{
		Name: "system.network.conntrack.count", Semconv: "-", Unit: "{entries}", Kind: UpDownCounter, Integer: true,
		Help: "Connections that the kernel tracks.", Source: "/proc/sys/net/netfilter/nf_conntrack_count",
	}
	conntrackMax = &Metric{
		Name: "system.network.conntrack.max", Semconv: "-", Unit: "{entries}", Kind: UpDownCounter, Integer: true,
		Help: "Connections that the kernel can track; more are dropped.", Source: "/proc/sys/net/netfilter/nf_conntrack_max",
	}
	conntrackEvents = &Metric{
		Name: "sysotel.conntrack.events", Unit: "{event}", Kind: Counter, Integer: true,
		Keys: []Key{{Name: "event", Help: "the kernel's word: found, invalid, ignore, insert, insert_failed, drop (no room), early_drop, search_restart"}},
		Help: "What the tracking of connections counts, all processors together.", Source: "/proc/1/net/stat/nf_conntrack",
	}
)

// conntrack reads the tracking of connections.
type conntrack struct {
	count, max *file
	stat       networkFile
	counts     ledger
	// titles is the line of titles that was seen last, and columns the place in it of
	// each event, -1 where it lacks one.
	titles  []byte
	columns [conntrackEventCount]int
}

func newConntrack() Collector { return &conntrack{counts: make(ledger, conntrackEventCount)} }

func (*conntrack) Name() string { return "conntrack" }

func (*conntrack) Metrics() []*Metric {
	return []*Metric{conntrackCount, conntrackMax, conntrackEvents}
}

func (c *conntrack) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	// The two files are those of the reader's network namespace.
	if !linux || !h.ownNetwork {
		return nil, ErrUnsupported
	}
	if c.count == nil {
		c.count, c.max = h.open("proc/sys/net/netfilter/nf_conntrack_count"), h.open("proc/sys/net/netfilter/nf_conntrack_max")
	}
	r := &Conntrack{}
	if _, err := c.count.read(); errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		c.counts.miss()
		return nil, ErrUnsupported // Nothing is tracked.
	} else if err != nil {
		c.counts.miss()
		return nil, err
	}
	r.Count, r.Max = oneCount(c.count, &r.misread), oneCount(c.max, &r.misread)
	events := [conntrackEventCount]uint64{}
	for i := range events {
		events[i] = unknownCount
	}
	if text, err := c.stat.read(h, "stat/nf_conntrack"); err == nil {
		c.parse(text, &events, &r.misread)
	} else {
		r.lost("/proc/net/stat/nf_conntrack", err)
	}
	good := isCount(r.Count) || isCount(r.Max)
	for i, n := range events {
		good = good || isCount(n)
		r.Events[i] = c.counts.next(i, n)
	}
	if !good {
		return nil, fmt.Errorf("parse /proc/sys/net/netfilter: nothing can be read: %v", r.Missing())
	}
	return r, nil
}

// parse adds up the lines of /proc/net/stat/nf_conntrack: one of titles, and one of
// hexadecimal numbers for each processor. An event of which one number cannot be read is
// unknown.
func (c *conntrack) parse(text []byte, events *[conntrackEventCount]uint64, odd *misread) {
	titles, text, _ := bytes.Cut(text, []byte{'\n'})
	if !bytes.Equal(titles, c.titles) {
		c.titles = bytes.Clone(titles)
		for i := range c.columns {
			c.columns[i] = -1
		}
		for column, rest := 0, titles; ; column++ {
			var word []byte
			if word, rest = cutWord(rest); len(word) == 0 {
				break
			}
			for i, name := range conntrackEventNames {
				if name == string(word) && c.columns[i] < 0 {
					c.columns[i] = column
				}
			}
		}
	}
	var sums [conntrackEventCount]uint64
	var bad [conntrackEventCount]bool
	lines := 0
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		lines++
		seen := [conntrackEventCount]bool{}
		for column, rest := 0, line; ; column++ {
			var word []byte
			if word, rest = cutWord(rest); len(word) == 0 {
				break
			}
			for i, at := range c.columns {
				if at != column {
					continue
				}
				seen[i] = true
				n, ok := parseHex(word)
				if !ok {
					bad[i] = true
					odd.note("/proc/net/stat/nf_conntrack: "+conntrackEventNames[i], notNumber(word))
				}
				sums[i] += n
			}
		}
		for i := range seen {
			bad[i] = bad[i] || !seen[i]
		}
	}
	for i := range sums {
		if lines > 0 && !bad[i] && c.columns[i] >= 0 {
			events[i] = sums[i]
		}
	}
}

// Report implements Reading.
func (c *Conntrack) Report(o *Observer) {
	o.Uint(conntrackCount, c.Count)
	o.Uint(conntrackMax, c.Max)
	for i, n := range c.Events {
		o.Uint(conntrackEvents, n, conntrackEventNames[i])
	}
}
