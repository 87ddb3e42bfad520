package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what a Notifier needs.
type Options struct {
	Config Config
	// DataDir is the agent's data directory.
	DataDir string
	// Host is the name of this machine, for messages that try a channel.
	Host string
	Log  *slog.Logger
	// Alive tells why alerts are not judged at the moment, nil where they are. The
	// heartbeat calls only then. Without it the heartbeat always calls.
	Alive func() error
}

// Notifier takes notices and has its channels tell them. Its methods may be
// called at any time from anywhere.
type Notifier struct {
	options   Options
	file      *file
	lanes     []*lane
	heartbeat *heartbeat

	mu     sync.Mutex
	broken error // why the disk did not take the last notice; under mu
}

// ErrUnknownChannel is the error of a channel that is not there.
var ErrUnknownChannel = errors.New("there is no such channel")

// Open opens the queue and makes the channels. Nothing is sent before Run.
func Open(ctx context.Context, o Options) (_ *Notifier, err error) {
	n := &Notifier{options: o}
	if n.file, err = openFile(ctx, filepath.Join(o.DataDir, "alerting", "messages.db"), o.Log); err != nil {
		return nil, fmt.Errorf("open the queue of messages: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.makeLanes(ctx); err != nil {
		return nil, err
	}
	gone, err := n.file.forget(ctx, n.names(), time.Now())
	if err != nil {
		return nil, fmt.Errorf("tidy the queue of messages: %w", err)
	}
	if gone > 0 {
		o.Log.Warn("messages waited for channels that are not configured any more; they are dropped", "messages", gone)
	}
	if o.Config.Heartbeat.URL != "" {
		if n.heartbeat, err = newHeartbeat(o); err != nil {
			return nil, fmt.Errorf("heartbeat: %w", err)
		}
	}
	return n, nil
}

// makeLanes makes the channels and, for every external Alertmanager, one more.
func (n *Notifier) makeLanes(ctx context.Context) error {
	c := n.options.Config
	for _, channel := range c.Channels {
		s, kind, err := channel.sender(n.options)
		if err != nil {
			return fmt.Errorf("channel %s: %w", channel.Name, err)
		}
		l := &lane{name: channel.Name, kind: kind, sender: s, groupWait: c.GroupWait, limit: newLimit(channel.MaxPerHour)}
		if kind == kindLog { // A line of a file disturbs nobody.
			l.groupWait, l.limit = 0, nil
		}
		n.lanes = append(n.lanes, l)
	}
	for _, address := range c.Alertmanagers.URLs {
		s, err := newAlertmanager(c.Alertmanagers, address)
		if err != nil {
			return fmt.Errorf("external_alertmanager: %w", err)
		}
		n.lanes = append(n.lanes, &lane{name: kindAlertmanager + " " + address, kind: kindAlertmanager, sender: s, always: true})
	}
	for _, l := range n.lanes {
		status, err := n.file.status(ctx, l.name)
		if err != nil {
			return fmt.Errorf("read the queue of messages: %w", err)
		}
		status.Type = l.kind
		l.file, l.status, l.wake = n.file, status, make(chan struct{}, 1)
		l.known, l.told = map[string]bool{}, map[int64]bool{}
		l.log = n.options.Log.With("channel", l.name)
	}
	return nil
}

// names lists the channels and the external Alertmanagers.
func (n *Notifier) names() (names []string) {
	for _, l := range n.lanes {
		names = append(names, l.name)
	}
	return names
}

// Deliver takes a notice. It is on disk when Deliver returns without an error, and
// dropped where one with its ID was taken before. A disk that is full keeps no
// alert back: then the notice waits in memory, which Health tells.
func (n *Notifier) Deliver(ctx context.Context, notice Notice) error {
	if notice.ID == "" {
		return errors.New("a notice needs an id")
	}
	notice = notice.cleaned()
	lanes := n.chosen(notice.Channels)
	var names []string
	for _, l := range lanes {
		names = append(names, l.name)
	}
	err := n.file.take(ctx, notice, names, time.Now())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	n.note(err)
	for _, l := range lanes {
		if err != nil {
			l.hold(notice, time.Now())
		}
		l.stir()
	}
	return nil
}

// note remembers whether the disk takes what is written, and says it once.
func (n *Notifier) note(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err != nil && n.broken == nil:
		n.options.Log.Error("messages cannot be kept on disk; they wait in memory and are lost with the agent", "err", err)
	case err == nil && n.broken != nil:
		n.options.Log.Info("messages are kept on disk again")
	}
	n.broken = err
}

// chosen returns the channels that tell a notice. Where none of those that it
// names is there any more, all do: better the wrong people than nobody.
func (n *Notifier) chosen(names []string) (lanes []*lane) {
	isNamed := func(l *lane) bool { return slices.Contains(names, l.name) }
	all := !slices.ContainsFunc(n.lanes, isNamed)
	for _, l := range n.lanes {
		if all || l.always || isNamed(l) {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// Run sends what waits and what comes until ctx is done.
func (n *Notifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, l := range n.lanes {
		all.Go(func() { l.run(ctx) })
		if l.kind == kindAlertmanager {
			all.Go(func() { l.repeat(ctx) })
		}
	}
	if n.heartbeat != nil {
		all.Go(func() { n.heartbeat.run(ctx) })
	}
	all.Wait()
	return nil
}

// Close closes the queue and the files. What waits is sent after the next Open.
func (n *Notifier) Close() error {
	var errs []error
	for _, l := range n.lanes {
		if c, ok := l.sender.(interface{ close() error }); ok {
			errs = append(errs, c.close())
		}
	}
	return errors.Join(append(errs, n.file.Close())...)
}

// Test sends a message that tries a channel, now and past the queue, and tells
// what became of it.
func (n *Notifier) Test(ctx context.Context, channel string) error {
	i := slices.IndexFunc(n.lanes, func(l *lane) bool { return l.name == channel })
	if i < 0 {
		return fmt.Errorf("%w: %s", ErrUnknownChannel, clean(channel))
	}
	return n.lanes[i].try(ctx, testMessage(n.options.Host, time.Now()))
}

// ChannelStatus is how a channel fares.
type ChannelStatus struct {
	Name string
	// Type is email, slack, webhook, log, receiver or alertmanager.
	Type string
	// Waiting are the notices that it has yet to tell, Sent the messages that it
	// told, Dropped the notices that it gave up.
	Waiting int
	Sent    int64
	Dropped int64
	// LastSuccess and LastFailure are zero where there was none.
	LastSuccess, LastFailure time.Time
	// LastError is what went wrong then; it holds no secret.
	LastError string
}

// Failing tells whether the last try went wrong.
func (s ChannelStatus) Failing() bool { return s.LastFailure.After(s.LastSuccess) }

// Channels tells how the channels fare, in the order of the configuration, and
// after them the external Alertmanagers.
func (n *Notifier) Channels() []ChannelStatus {
	all := make([]ChannelStatus, 0, len(n.lanes))
	waiting, _ := n.file.count(context.Background()) // Health tells when the disk fails.
	for _, l := range n.lanes {
		s := l.newest()
		s.Waiting += waiting[l.name]
		all = append(all, s)
	}
	return all
}

// Health tells in words which channels cannot be reached, "" where all is well.
func (n *Notifier) Health() string {
	var reasons []string
	n.mu.Lock()
	if n.broken != nil {
		reasons = append(reasons, "messages cannot be kept on disk: "+n.broken.Error())
	}
	n.mu.Unlock()
	for _, s := range n.Channels() {
		if s.Failing() {
			reasons = append(reasons, fmt.Sprintf("channel %s: %s", s.Name, s.LastError))
		}
	}
	if n.heartbeat != nil {
		if reason := n.heartbeat.reason(); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	return strings.Join(reasons, "; ")
}
