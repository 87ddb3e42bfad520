// Package alerting judges the machine by rules. Rules are those of Prometheus,
// in rule files or made of simple thresholds, and Prometheus' own rules library
// says which of them hold. What this package adds is what a monitor of one
// machine needs: that missing data resolves nothing, that a window which is only
// half filled fires nothing, that the state outlives the agent, silences,
// reminders, and a history.
//
// How people are told is no business of it: it hands notices to package notify.
//
// Read round.go first: there the rules are evaluated. Then judge.go, which stands
// between the rules and the store, track.go for the life of an alert, and tell.go
// for what is told of it.
package alerting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/health"
	"sysotel/agent/notify"
	"sysotel/agent/query"
	"sysotel/agent/records"
)

// DurationRule says what a duration of a rule may look like.
const DurationRule = "must be a duration such as 30s, 5m or 1h30m"

// Querier answers the expressions of rules.
type Querier interface {
	Parse(text string) (parser.Expr, error)
	Present(own query.Own) storage.Queryable
	Judge(ctx context.Context, text string, at time.Time, present storage.Queryable) (promql.Vector, error)
	Range(ctx context.Context, text string, start, end time.Time, step time.Duration) (*query.Answer, error)
	LookBack() time.Duration
}

var _ Querier = (*query.Querier)(nil)

// Notifier sends notifications.
type Notifier interface {
	// Deliver accepts a notice. It is durable when it returns nil, and ignores a
	// notice whose ID it accepted before.
	Deliver(ctx context.Context, n notify.Notice) error
	// ChannelNames lists the channels that rules can choose.
	ChannelNames() []string
}

var _ Notifier = (*notify.Notifier)(nil)

// Host is a machine that pushes to where this agent reads.
type Host struct {
	Name     string
	LastSeen time.Time
}

// Options are what alerting is opened with.
type Options struct {
	Config Config
	// Dir is the directory of its files, made where it is missing.
	Dir string
	// Host is the name of this machine.
	Host    string
	Querier Querier
	// Unsteady tells why the present cannot be judged, empty where it can. Nil
	// for always.
	Unsteady func() string
	// Metrics tells what a name of the REST API stands for.
	Metrics func(name string) (Metric, bool)
	// Notifier takes the notifications. Nil for none.
	Notifier Notifier
	// Processes are the greediest processes of now, by memory or else by CPU. Nil
	// for none.
	Processes func(byMemory bool) []notify.Process
	// Link is the address of the dashboard.
	Link func() string
	// Events takes what happened. Nil for nobody.
	Events func(records.Event) error
	// Hosts lists the machines that push to where this agent reads; nil where it
	// knows of itself alone.
	Hosts func(ctx context.Context) ([]Host, error)
	Log   *slog.Logger
	// Now is the wall clock, Mono a clock that nobody sets; the system's where nil.
	Now  func() time.Time
	Mono func() time.Duration
}

// Alerting evaluates rules. Its methods may be called by several goroutines.
type Alerting struct {
	options  Options
	log      *slog.Logger
	parser   parser.Parser
	file     *database
	interval time.Duration
	path     string // of the file with what was made over the API
	channels []string

	// turn is held by who evaluates or changes rules.
	turn sync.Mutex
	// lastAt and lastMono are when the rules were last evaluated; under turn.
	lastAt   time.Time
	lastMono time.Duration
	observed bool // whether lastMono is of this process
	since    time.Duration
	ticks    int

	// mu protects what follows; who writes holds turn too.
	mu       sync.RWMutex
	rules    []*rule
	byName   map[string][]*rule
	sleeping []*rule // disabled ones
	made     madeRules
	unfit    []string // thresholds of made that do not fit the configuration
	tracked  map[string]*tracked
	gone     []*tracked // those that the file need not have any more
	silences []Silence
	waiting  []notify.Notice // those that could not be handed over yet
	status   status
}

// status is how the evaluation fares.
type status struct {
	// unsteady is why the rules were not evaluated at the last tick.
	unsteady string
	// broken is why the state could not be written, untold why a notice could not
	// be handed over.
	broken, untold error
	rounds         uint64
	took           time.Duration
	at             time.Time
}

// Open reads the rules and the state of an earlier run.
func Open(ctx context.Context, o Options) (*Alerting, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Mono == nil {
		base := time.Now()
		o.Mono = func() time.Duration { return time.Since(base) }
	}
	if o.Metrics == nil {
		o.Metrics = func(string) (Metric, bool) { return Metric{}, false }
	}
	if o.Config.Interval == 0 {
		o.Config.Interval = Defaults().Interval
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	a := &Alerting{
		options: o, log: o.Log, parser: newParser(), path: filepath.Join(o.Dir, madeFile),
		tracked: map[string]*tracked{}, since: o.Mono(), interval: o.Config.Interval,
	}
	if o.Notifier != nil {
		a.channels = o.Notifier.ChannelNames()
	}
	var err error
	if a.file, err = openDatabase(ctx, filepath.Join(o.Dir, stateFile), o.Log); err != nil {
		return nil, fmt.Errorf("open the state of the alerts: %w", err)
	}
	if err := a.restore(ctx); err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	return a, nil
}

// stateFile is the file of the alerts' state.
const stateFile = "state.db"

// restore reads what an earlier run left, and the rules.
func (a *Alerting) restore(ctx context.Context) (err error) {
	if a.made, err = readMade(a.path); err != nil {
		return err
	}
	if a.tracked, a.lastAt, err = a.file.alerts(ctx); err != nil {
		return fmt.Errorf("read the state of the alerts: %w", err)
	}
	if a.silences, err = a.file.silences(ctx); err != nil {
		return fmt.Errorf("read the silences: %w", err)
	}
	if a.waiting, err = a.file.notices(ctx); err != nil {
		return fmt.Errorf("read the notices that wait: %w", err)
	}
	now := a.options.Now().Truncate(time.Millisecond)
	tooOld := now.Sub(a.lastAt) > outageTolerance
	if tooOld {
		a.giveUpAll(now)
	}
	active, sleeping, err := a.loadMost()
	if err != nil {
		return err
	}
	a.install(ctx, active, sleeping)
	if tooOld {
		a.settle(ctx, now)
	}
	return nil
}

// loadMost makes the rules at the start. A threshold that was made over the API and
// does not fit the configuration any more, as when its channel is gone, keeps no
// agent from starting: it is left out and told of, and stays in its file.
func (a *Alerting) loadMost() (active, sleeping []*rule, err error) {
	var unfit []string
	defer func() {
		if err == nil {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.unfit = unfit
		}
	}()
	active, sleeping, err = a.load(a.made)
	if err == nil {
		return active, sleeping, nil
	}
	fit := madeRules{Format: madeFormat, Disabled: a.made.Disabled}
	if active, sleeping, err = a.load(fit); err != nil {
		return nil, nil, err
	}
	for _, t := range a.made.Thresholds {
		with := fit
		with.Thresholds = append(slices.Clone(fit.Thresholds), t)
		more, asleep, wrong := a.load(with)
		if wrong != nil {
			unfit = append(unfit, t.Name)
			a.log.Error("a threshold made over the API does not fit the configuration and is not evaluated", "rule", t.Name, "err", wrong)
			continue
		}
		fit, active, sleeping = with, more, asleep
	}
	return active, sleeping, nil
}

// outageTolerance is how old the state of an earlier run may be. An older alert
// would speak of another time.
const outageTolerance = 24 * time.Hour

// Close closes the files.
func (a *Alerting) Close() error {
	a.turn.Lock()
	defer a.turn.Unlock()
	return a.file.Close()
}

// firstAfter is how long after the start the rules are first evaluated.
const firstAfter = 5 * time.Second

// Run evaluates the rules until the context ends.
func (a *Alerting) Run(ctx context.Context) error {
	// The first evaluation finds the first readings.
	least := firstAfter
	for {
		// On whole multiples, so that the steps of several agents are the same.
		now := a.options.Now().Add(least)
		wait := now.Truncate(a.interval).Add(a.interval).Sub(now) + least
		least = 0
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		a.Evaluate(ctx)
	}
}

// Health is degraded if rules, or anything that they need, fail.
func (a *Alerting) Health() health.Component {
	if reason := a.failing(); reason != "" {
		return health.Component{Name: "alerting", Status: health.Degraded, Reason: reason}
	}
	return health.Component{Name: "alerting", Status: health.OK}
}

// failing describes the first thing that fails, "" if nothing does.
func (a *Alerting) failing() string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	failing := 0
	var first error
	for _, r := range a.rules {
		if err := r.LastError(); err != nil {
			failing++
			if first == nil {
				first = fmt.Errorf("rule %s: %w", r.Name(), err)
			}
		}
	}
	late := a.options.Now().Sub(a.status.at)
	switch {
	case a.status.broken != nil:
		return "the state of the alerts is not written: " + a.status.broken.Error()
	case a.status.untold != nil:
		return fmt.Sprintf("%d notices wait to be handed to the channels: %s", len(a.waiting), a.status.untold)
	case a.status.unsteady != "":
		return "the rules are not evaluated: " + a.status.unsteady
	case len(a.unfit) > 0:
		return fmt.Sprintf("thresholds made over the API that do not fit the configuration are not evaluated: %s; change or delete them", strings.Join(a.unfit, ", "))
	case failing > 0:
		return fmt.Sprintf("%d of %d rules fail, the first: %s", failing, len(a.rules), first)
	case a.status.rounds > 0 && late > 5*a.interval:
		return fmt.Sprintf("the rules were last evaluated %s ago", late.Truncate(time.Second))
	}
	return ""
}

// Judging tells why alerts are not judged, nil where they are. A heartbeat that
// went on then would say that all is well.
func (a *Alerting) Judging() error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	switch {
	case a.status.rounds == 0:
		return errors.New("the rules were not evaluated yet")
	case a.status.unsteady != "":
		return errors.New(a.status.unsteady)
	case a.options.Now().Sub(a.status.at) > 5*a.interval:
		return errors.New("the rules are not evaluated any more")
	}
	return nil
}
