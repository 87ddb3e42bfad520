package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/health"
	"sysotel/agent/sqlite"
)

// Options are the dependencies of a Notifier.
type Options struct {
	Config Config
	// DataDir is the agent's data directory.
	DataDir string
	// Host is the name of this machine, for test messages.
	Host string
	// Page returns the URL of the agent's page, to which messages link. Optional.
	Page func() string
	Log  *slog.Logger
	// Clock says what time it is; the system's if nil.
	Clock *clock.Judge
	// Damaged is told of damage to the queue's file that was repaired. Optional.
	Damaged func(sqlite.Damage)
	// Alive returns why alert rules are not evaluated now, nil if they are. The
	// heartbeat calls only if it returns nil. Optional.
	Alive func() error
}

// Notifier accepts notices and sends them through its channels. It is safe for
// concurrent use.
type Notifier struct {
	options   Options
	file      *file
	heartbeat *heartbeat

	// mu protects what follows: the channels of the API come and go.
	mu     sync.RWMutex
	queues []*channelQueue
	// own are the channels of the API, ownErr why none and unused why some are not used.
	// unread is set if the file could not be read.
	own     ownChannels
	ownPath string
	ownErr  error
	unused  map[string]error
	unread  bool
	// start makes a queue send; nil unless Run does.
	start func(*channelQueue)
}

// ErrUnknownChannel is returned for a channel that does not exist.
var ErrUnknownChannel = errors.New("there is no such channel")

// Open opens the queue and creates the channels. Nothing is sent before Run. While the
// disk of the queue cannot be written, notices are accepted and sent from memory.
func Open(ctx context.Context, o Options) (_ *Notifier, err error) {
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{})
	}
	n := &Notifier{options: o}
	if n.file, err = openFile(ctx, o); err != nil {
		return nil, fmt.Errorf("open the notification queue: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if err := n.openQueues(ctx); err != nil {
		return nil, err
	}
	switch dropped, err := n.file.forget(ctx, n.names(), n.file.now(ctx)); {
	case err != nil:
		o.Log.Warn("cannot clean up the notification queue", "err", err)
	case dropped > 0:
		o.Log.Warn("dropped notices of channels that are no longer configured", "notices", dropped)
	}
	if o.Config.Heartbeat.URL != "" {
		if n.heartbeat, err = newHeartbeat(o); err != nil {
			return nil, fmt.Errorf("heartbeat: %w", err)
		}
	}
	return n, nil
}

// openQueues creates a queue for each channel and each external Alertmanager.
func (n *Notifier) openQueues(ctx context.Context) error {
	c := n.options.Config
	for _, channel := range c.Channels {
		q, err := n.newQueue(channel)
		if err != nil {
			return fmt.Errorf("channel %s: %w", channel.Name, err)
		}
		n.queues = append(n.queues, q)
	}
	for _, url := range c.Alertmanagers.URLs {
		s, err := newAlertmanager(c.Alertmanagers, url)
		if err != nil {
			return fmt.Errorf("external_alertmanager: %w", err)
		}
		s.now = n.options.Clock.Now
		n.queues = append(n.queues, &channelQueue{name: kindAlertmanager + " " + url, kind: kindAlertmanager, sender: s, timeout: sendTimeout, always: true, source: FromConfig})
	}
	n.file.now(ctx)
	for _, q := range n.queues {
		if err := n.prepare(ctx, q); err != nil {
			return err
		}
	}
	return n.openOwn(ctx)
}

// prepare gives a queue its status and what it needs to run.
func (n *Notifier) prepare(ctx context.Context, q *channelQueue) error {
	status, err := n.file.status(ctx, q.name)
	if err != nil {
		return fmt.Errorf("read the notification queue: %w", err)
	}
	status.Type, status.Source = q.kind, q.source
	n.file.stepMu.Lock()
	step := n.file.step
	n.file.stepMu.Unlock()
	q.file, q.status, q.clockStep, q.wake = n.file, status, step, make(chan struct{}, 1)
	q.log = n.options.Log.With("channel", q.name)
	return nil
}

// newQueue creates the queue of a configured channel.
func (n *Notifier) newQueue(channel ChannelConfig) (*channelQueue, error) {
	c := n.options.Config
	key, kind, err := channel.kind()
	if err != nil {
		return nil, err
	}
	at := c.site(channel, n.options)
	s, err := kind.newSender(at)
	if err != nil {
		return nil, err
	}
	q := &channelQueue{name: channel.Name, kind: key, sender: s, timeout: at.timeout, source: FromConfig}
	if _, ok := s.(immediateSender); !ok {
		q.groupWait, q.limit = c.GroupWait, newLimit(channel.MaxPerHour)
	}
	return q, nil
}

// names lists the channels and the external Alertmanagers.
func (n *Notifier) names() (names []string) {
	for _, q := range n.queues {
		names = append(names, q.name)
	}
	return names
}

// ChannelNames lists the channels by which a notice can choose: those of the
// configuration, then those of the API.
func (n *Notifier) ChannelNames() []string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	names := n.options.Config.Names()
	for _, q := range n.queues {
		if q.source == FromAPI {
			names = append(names, q.name)
		}
	}
	return names
}

// Deliver accepts a notice. It is on disk when Deliver returns nil, and ignored if
// one with the same ID was accepted before. While the disk cannot be written the notice
// is in memory, which Health reports: it is sent all the same, once, and lost only if
// the agent stops before.
func (n *Notifier) Deliver(ctx context.Context, notice Notice) error {
	if notice.ID == "" {
		return errors.New("a notice needs an id")
	}
	notice = notice.cleaned()
	n.mu.RLock()
	defer n.mu.RUnlock()
	queues := n.chosen(notice.Channels)
	var names []string
	for _, q := range queues {
		names = append(names, q.name)
	}
	if err := n.file.take(ctx, notice, names, n.file.now(ctx)); err != nil {
		return err
	}
	for _, q := range queues {
		q.wakeUp()
	}
	return nil
}

// retryEvery is how often a queue that is in memory tries to return to its disk, even
// if nothing is sent.
const retryEvery = 30 * time.Second

// watch lets the queue return to its disk until ctx is done.
func (n *Notifier) watch(ctx context.Context) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.file.Retry(ctx)
		}
	}
}

// chosen returns the queues for a notice; the caller holds mu. If none of the channels that it names
// exists any more it goes to all: better to the wrong people than to no one.
func (n *Notifier) chosen(names []string) (queues []*channelQueue) {
	isNamed := func(q *channelQueue) bool { return slices.Contains(names, q.name) }
	all := !slices.ContainsFunc(n.queues, isNamed)
	for _, q := range n.queues {
		if all || q.always || isNamed(q) {
			queues = append(queues, q)
		}
	}
	return queues
}

// Run sends notices until ctx is done.
func (n *Notifier) Run(ctx context.Context) error {
	var all sync.WaitGroup
	n.mu.Lock()
	n.start = func(q *channelQueue) {
		own, stop := context.WithCancel(ctx)
		q.stop, q.ended = stop, make(chan struct{})
		all.Go(func() {
			defer close(q.ended)
			q.run(own)
		})
	}
	for _, q := range n.queues {
		n.start(q)
		if q.kind == kindAlertmanager {
			all.Go(func() { q.resend(ctx) })
		}
	}
	all.Go(func() {
		n.watch(ctx)
		n.mu.Lock()
		n.start = nil
		n.mu.Unlock()
	})
	n.mu.Unlock()
	if n.heartbeat != nil {
		all.Go(func() { n.heartbeat.run(ctx) })
	}
	all.Wait()
	for _, q := range n.queues {
		q.stop()
	}
	return nil
}

// Close closes the queue and the files. Waiting notices are sent after the next
// Open.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, q := range n.queues {
		errs = append(errs, q.close())
	}
	return errors.Join(append(errs, n.file.Close())...)
}

// Test sends a test message through a channel, past its queue, and returns the
// outcome.
func (n *Notifier) Test(ctx context.Context, channel string) error {
	n.mu.RLock()
	q := n.queueOf(channel)
	n.mu.RUnlock()
	if q == nil {
		return fmt.Errorf("%w: %s", ErrUnknownChannel, clean(channel))
	}
	return q.sendNow(ctx, testMessage(n.options.Host, n.file.now(ctx)))
}

// Channel is the status of a channel. It contains no secrets.
type Channel struct {
	Name    string `json:"name" doc:"Name of the channel."`
	Type    string `json:"type" doc:"Kind of channel: its key in alerting.channels, such as email; or alertmanager for an external one."`
	Source  string `json:"source" enum:"config,api" doc:"Where it comes from: the configuration, or this API, by which it can be changed."`
	Waiting int    `json:"waiting" doc:"Notifications waiting to be sent."`
	// Sent are the messages that were sent, Dropped the notices that were given up.
	Sent        int64     `json:"-"`
	Dropped     int64     `json:"-"`
	LastSuccess time.Time `json:"last_success,omitzero" doc:"When it last accepted a message; absent if never."`
	LastError   string    `json:"last_error,omitempty" doc:"Why the last attempt failed; absent if it succeeded."`
	LastErrorAt time.Time `json:"last_error_at,omitzero" doc:"When the last attempt failed; absent if it succeeded."`
}

// Channels returns the status of the channels in the order of the configuration,
// followed by the external Alertmanagers and the channels of the API.
func (n *Notifier) Channels() []Channel {
	n.mu.RLock()
	queues := slices.Clone(n.queues)
	n.mu.RUnlock()
	all := make([]Channel, 0, len(queues))
	waiting, _ := n.file.count(context.Background()) // Health reports a failing disk.
	for _, q := range queues {
		s := q.current()
		s.Waiting = waiting[q.name]
		if !s.LastErrorAt.After(s.LastSuccess) {
			s.LastError, s.LastErrorAt = "", time.Time{}
		}
		all = append(all, s)
	}
	return all
}

// Health is degraded if the disk or a channel fails.
func (n *Notifier) Health() health.Component {
	var reasons []string
	if err := n.file.Trouble(); err != nil {
		reasons = append(reasons, err.Error())
	}
	reasons = append(reasons, n.ownHealth()...)
	for _, s := range n.Channels() {
		if !s.LastErrorAt.IsZero() {
			reasons = append(reasons, fmt.Sprintf("channel %s: %s", s.Name, s.LastError))
		}
	}
	if n.heartbeat != nil {
		if reason := n.heartbeat.reason(); reason != "" {
			reasons = append(reasons, reason)
		}
	}
	c := health.Component{Name: "channels", Status: health.OK, Reason: strings.Join(reasons, "; ")}
	if len(reasons) > 0 {
		c.Status = health.Degraded
	}
	return c
}
