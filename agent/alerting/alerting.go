// Package alerting evaluates alert rules. They are Prometheus rules, from rule files
// or generated from thresholds, evaluated by Prometheus' own rules library. This
// package adds what a monitor of a single machine needs: missing data resolves no
// alert, a window that is only partly filled fires none, state survives restarts,
// and there are silences, reminders and a history.
//
// Notifications are sent by package notify.
//
// Read evaluation.go first, which evaluates the rules and filters their results,
// then alert_state.go for the life of an alert, and notification.go for its
// notifications.
package alerting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/clock"
	"sysotel/agent/health"
	"sysotel/agent/notify"
	"sysotel/agent/query"
	"sysotel/agent/records"
	"sysotel/agent/sqlite"
)

// DurationRule describes valid durations of rules.
const DurationRule = "must be a duration such as 30s, 5m or 1h30m"

// Querier evaluates the expressions of rules.
type Querier interface {
	Parse(text string) (parser.Expr, error)
	RuleQueryable(own query.OwnSeries) storage.Queryable
	EvalRule(ctx context.Context, text string, at time.Time, present storage.Queryable) (promql.Vector, error)
	Range(ctx context.Context, text string, start, end time.Time, step time.Duration) (*query.Result, error)
	Scraped(ctx context.Context, expr parser.Expr, always bool) context.Context
	LookBack() time.Duration
	Extents() []query.Extent
	Matched(ctx context.Context, selections []query.Selection, end time.Time) ([]bool, error)
	Series(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]labels.Labels, annotations.Annotations, error)
	LabelValues(ctx context.Context, name string, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]string, annotations.Annotations, error)
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

// Host is a machine that pushes to the storage that this agent reads.
type Host struct {
	Name     string
	LastSeen time.Time
}

// Options are the dependencies of Alerting.
type Options struct {
	Config Config
	// Dir is the directory for files; it is created if missing.
	Dir string
	// Host is the name of this machine.
	Host    string
	Querier Querier
	// Newest is the time of the newest reading that queries see; optional. Rules that are
	// due at that of a tick wait for its reading.
	Newest func() time.Time
	// Unready returns why rules cannot be evaluated now, "" if they can. Optional.
	Unready func() string
	// SeenFrom returns the time before which queries see nothing at present, although
	// there was something; the zero time if they see everything. Optional.
	SeenFrom func() time.Time
	// Metrics returns the metric behind a name of the REST API.
	Metrics func(name string) (Metric, bool)
	// Catalogue returns the names that can be measured. Optional.
	Catalogue func() Catalogue
	// Notifier sends notifications. Optional.
	Notifier Notifier
	// Processes returns the current top processes by memory or by CPU. Optional.
	Processes func(byMemory bool) []notify.Process
	// Link returns the base URL of the dashboard. Optional.
	Link func() string
	// Events records events. Optional.
	Events func(records.Event) error
	// Store keeps the series that rules make. Optional.
	Store Store
	// Hosts lists the machines that push to the storage that this agent reads. Nil if
	// it reads its own only.
	Hosts func(ctx context.Context) ([]Host, error)
	// Damaged is told of damage to the file that was repaired. Optional.
	Damaged func(sqlite.Damage)
	Log     *slog.Logger
	// Clock decides what time it is, Mono is a monotonic clock; default: by the system's.
	Clock *clock.Judge
	Mono  func() time.Duration
}

// Alerting evaluates rules. It is safe for concurrent use.
type Alerting struct {
	options  Options
	log      *slog.Logger
	parser   parser.Parser
	file     *database
	interval time.Duration
	path     string // of apiRulesFile
	// channels are their names, by SetChannels and channelNames.
	channelsMu sync.RWMutex
	channels   []string

	// turn is held while rules are evaluated or changed.
	turn sync.Mutex
	// lastAt and lastMono are when the rules were last evaluated; under turn.
	lastAt   time.Time
	lastMono time.Duration
	observed bool          // whether lastMono is of this process
	started  time.Duration // on the monotonic clock
	ticks    int
	suspects *suspects
	pipeline pipeline
	// kept are the series in the store, by the hash of their labels, leaving those that no
	// rule makes any more; keptAt is when the store got some last.
	kept    map[uint64]*keptSeries
	leaving []labels.Labels
	keptAt  time.Time
	step    uint64 // the newest step of the clock that was taken over
	names   atomic.Pointer[names]

	// mu protects what follows; writers hold turn too.
	mu       sync.RWMutex
	rules    []*rule
	byName   map[string][]*rule
	disabled []*rule
	fromAPI  apiRules
	// rulesErr is what was wrong with the file of the rules from the API, unread whether
	// those are unknown, so that none can be changed.
	rulesErr    error
	unread      bool
	misfits     []misfit               // thresholds of fromAPI that do not fit the configuration
	states      map[string]*alertState // by fingerprint
	removed     []*alertState          // to be deleted from the file
	silences    []Silence
	undelivered []notify.Notice
	sightings   map[string]*sighting // by their text
	status      status
}

// status is the status of the evaluation.
type status struct {
	// aside is why rules are set aside, by their content.
	aside map[string]string
	// unsteady is why the rules were not evaluated last time.
	unsteady string
	// saveErr is why the state could not be saved, deliverErr why a notice could not
	// be delivered.
	saveErr, deliverErr error
	evaluations         uint64
	took                time.Duration
	at                  time.Time
	// files are the errors of rule files that cannot be read any more.
	files []string
}

// Open loads the rules and the state of the previous run.
func Open(ctx context.Context, o Options) (*Alerting, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.New(clock.Options{})
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
	a := &Alerting{
		options: o, log: o.Log, parser: query.NewParser(), path: filepath.Join(o.Dir, apiRulesFile),
		states: map[string]*alertState{}, kept: map[uint64]*keptSeries{}, started: o.Mono(), step: o.Clock.Latest(), interval: o.Config.Interval,
	}
	if o.Notifier != nil {
		a.channels = o.Notifier.ChannelNames()
	}
	var err error
	if a.file, err = openDatabase(ctx, o); err != nil {
		return nil, fmt.Errorf("open the alert state: %w", err)
	}
	if err := a.restore(ctx); err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	return a, nil
}

// stateFile is the file of the alert state.
const stateFile = "state.db"

// restore loads the state of the previous run, and the rules.
func (a *Alerting) restore(ctx context.Context) (err error) {
	if err := a.readAPIRules(); err != nil {
		return err
	}
	if a.states, a.lastAt, err = a.file.alerts(ctx); err != nil {
		return fmt.Errorf("read the alert state: %w", err)
	}
	if a.silences, err = a.file.silences(ctx); err != nil {
		return fmt.Errorf("read the silences: %w", err)
	}
	if a.undelivered, err = a.file.notices(ctx); err != nil {
		return fmt.Errorf("read undelivered notices: %w", err)
	}
	a.suspects = openSuspects(filepath.Join(a.options.Dir, suspectsFile), a.options.Clock.Now().UTC().Truncate(time.Second))
	now := a.options.Clock.Now().Truncate(time.Millisecond)
	tooOld := now.Sub(a.lastAt) > maxOutage
	if tooOld {
		a.resolveStale(now)
	}
	active, disabled, misfits, err := a.loadValid(a.fromAPI)
	if err != nil {
		return err
	}
	a.install(ctx, active, disabled, misfits)
	if tooOld {
		a.save(ctx, now)
	}
	return nil
}

// misfit is a threshold from the API that does not fit the configuration: it is not
// evaluated, but listed, and stays in its file.
type misfit struct {
	threshold Threshold
	err       error
}

// loadValid loads the rules with those from the API. One of these that no longer fits the
// configuration, for example because a rule file has its name, keeps neither the agent
// from starting nor others from being changed.
func (a *Alerting) loadValid(fromAPI apiRules) (active, disabled []*rule, misfits []misfit, err error) {
	active, disabled, err = a.load(fromAPI)
	if err == nil {
		return active, disabled, nil, nil
	}
	fit := apiRules{Format: apiRulesFormat, Disabled: fromAPI.Disabled, Adjusted: fromAPI.Adjusted}
	if active, disabled, err = a.load(fit); err != nil {
		return nil, nil, nil, err
	}
	for _, t := range fromAPI.Thresholds {
		with := fit
		with.Thresholds = append(slices.Clone(fit.Thresholds), t)
		more, asleep, wrong := a.load(with)
		if wrong != nil {
			misfits = append(misfits, misfit{t, wrong})
			if !slices.ContainsFunc(a.misfits, func(m misfit) bool { return m.threshold.Name == t.Name && m.err.Error() == wrong.Error() }) {
				a.log.Error("threshold from the API does not fit the configuration and is not evaluated", "rule", t.Name, "err", wrong)
			}
			continue
		}
		fit, active, disabled = with, more, asleep
	}
	return active, disabled, misfits, nil
}

// maxOutage is the maximum age of the state of the previous run.
const maxOutage = 24 * time.Hour

// Close closes the files.
func (a *Alerting) Close() error {
	a.turn.Lock()
	defer a.turn.Unlock()
	if a.suspects != nil && a.suspects.file != nil {
		_ = a.suspects.file.Close() // It wrote in place.
	}
	return a.file.Close()
}

// startDelay is the minimum time from the start to the first evaluation, so that it
// finds readings.
const startDelay = 5 * time.Second

// Run evaluates the rules until ctx is done.
func (a *Alerting) Run(ctx context.Context) error {
	delay := startDelay
	for {
		now := a.options.Clock.Now().Add(delay)
		wait := a.next(now).Sub(now) + delay
		delay = 0
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		a.await(ctx)
		a.Evaluate(ctx)
	}
}

const (
	// maxAwait is how long after the beginning of a second its reading is waited for.
	maxAwait = 900 * time.Millisecond
	// awaitEvery is the time between two looks at the newest reading.
	awaitEvery = 20 * time.Millisecond
)

// await waits for the reading of the present second, where one is due: what is evaluated
// for that second later, as in a preview, has it too.
func (a *Alerting) await(ctx context.Context) {
	if a.options.Newest == nil {
		return
	}
	second := a.options.Clock.Now().Truncate(time.Second)
	tick := second.Truncate(a.options.Querier.LookBack() * 2 / 5) // The time between two readings.
	for a.options.Newest().Before(tick) && a.options.Clock.Now().Before(second.Add(maxAwait)) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(awaitEvery):
		}
	}
}

// next is when the first group after a time is due: at multiples of its interval, so that
// the agents of several machines agree.
func (a *Alerting) next(now time.Time) time.Time {
	first := now.Truncate(a.interval).Add(a.interval)
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, r := range a.rules {
		every := max(r.interval, time.Second)
		if next := now.Truncate(every).Add(every); next.Before(first) {
			first = next
		}
	}
	return first
}

// Health is degraded if rules, or anything that they need, fail, or if rules cannot fire
// because of a name that does not exist.
func (a *Alerting) Health() health.Component {
	if reason := a.failing(); reason != "" {
		return health.Component{Name: "alerting", Status: health.Degraded, Reason: reason}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	reason, never := a.sightless()
	status := health.OK
	if never {
		status = health.Degraded
	}
	return health.Component{Name: "alerting", Status: status, Reason: reason}
}

// failing describes the first thing that fails, "" if nothing does.
func (a *Alerting) failing() string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	failing := 0
	var first error
	unkept := 0
	for _, r := range a.rules {
		unkept += r.unkept
		if err := r.LastError(); err != nil {
			failing++
			if first == nil {
				first = fmt.Errorf("rule %s: %w", r.Name(), err)
			}
		}
	}
	var aside []string
	for _, r := range a.rules {
		if one := a.status.aside[r.content]; one != "" {
			aside = append(aside, "rule "+r.Name()+" of the group "+r.group+" is not evaluated: "+one)
		}
	}
	blind := ""
	if a.options.SeenFrom != nil {
		if from := a.options.SeenFrom(); !from.IsZero() && a.options.Clock.Now().Sub(from) > blindFor {
			blind = fmt.Sprintf("the rules see what was measured since %s only, %s; longer windows fire nothing new and end nothing",
				from.UTC().Format(time.RFC3339), a.options.Clock.Now().Sub(from).Truncate(time.Second))
		}
	}
	late, lost := a.options.Clock.Now().Sub(a.status.at), a.lostChannels()
	switch {
	case a.file.Trouble() != nil:
		return a.file.Trouble().Error()
	case a.status.saveErr != nil:
		return "cannot save the alert state: " + a.status.saveErr.Error()
	case a.rulesErr != nil:
		return a.rulesErr.Error()
	case a.status.deliverErr != nil:
		return fmt.Sprintf("%d notifications are waiting to be queued: %s", len(a.undelivered), a.status.deliverErr)
	case a.status.unsteady != "":
		return "the rules are not evaluated: " + a.status.unsteady
	case len(a.status.files) > 0:
		return a.filesTrouble()
	case len(aside) > 0:
		return strings.Join(aside, "; ")
	case len(a.misfits) > 0:
		var names []string
		for _, m := range a.misfits {
			names = append(names, m.threshold.Name)
		}
		return fmt.Sprintf("thresholds from the API that do not fit the configuration are not evaluated: %s; change or delete them", strings.Join(names, ", "))
	case lost != "":
		return lost
	case unkept > 0:
		return fmt.Sprintf("%d series that rules make are not kept: there are more than %d; they are seen by rules at present only", unkept, maxKept)
	case blind != "":
		return blind
	case failing > 0:
		return fmt.Sprintf("%d of %d rules fail, for example %s", failing, len(a.rules), first)
	case a.status.evaluations > 0 && late > 5*a.interval:
		return fmt.Sprintf("the rules were last evaluated %s ago", late.Truncate(time.Second))
	}
	return ""
}

// blindFor is how long the store may be out of sight before that is reported: it opens
// within seconds.
const blindFor = time.Minute

// Evaluating returns why rules are not evaluated, nil if they are. The heartbeat
// stops then.
func (a *Alerting) Evaluating() error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	switch {
	case a.status.evaluations == 0:
		return errors.New("the rules have not been evaluated yet")
	case a.status.unsteady != "":
		return errors.New(a.status.unsteady)
	case a.options.Clock.Now().Sub(a.status.at) > 5*a.interval:
		return errors.New("the rules are no longer evaluated")
	}
	return nil
}
