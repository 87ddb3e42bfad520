package alerting

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/clock"
	"sysotel/agent/notify"
	"sysotel/agent/query"
	"sysotel/agent/records"
	"sysotel/agent/store"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestGoldenScripts runs every testdata/*.txt: series in, alerts and notifications
// out. A file begins with a rule file; after a line of dashes follow commands with
// their indented output:
//
//	set SERIES VALUE      has this value each second from now on
//	stop SERIES           has no more samples, without a staleness marker
//	end SERIES            ends with a staleness marker
//	pass TIME             time passes
//	off TIME              the agent is down, then starts
//	kill                  the agent is killed and restarted at once
//	sleep TIME            the machine is suspended
//	step TIME             the clock is stepped
//	disk full, disk free  the store's disk; a store that starts on a full one does not open
//	notifier down, notifier up
//	silence LABEL=VALUE TIME
//	threshold JSON        added through the API
//	disable RULE, enable RULE
//	host NAME, mute NAME  a machine starts and stops pushing
//	alerts, history, rules  lists them
//	status, health, log   the status of the rules and of all, warnings since the last time
//	preview JSON          of a threshold or an expression
func TestGoldenScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rules, script, ok := strings.Cut(string(text), "\n----\n")
			if !ok {
				t.Fatal("the file has no line ----")
			}
			p := newPlay(t, rules)
			for line := range strings.Lines(script) {
				if strings.HasPrefix(line, "  ") {
					continue // The previous output.
				}
				p.output.WriteString(line)
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					p.command(line)
				}
			}
			got := rules + "\n----\n" + p.output.String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("the output of %s differs; see the difference after make golden\n%s", file, got)
			}
		})
	}
}

// play is a machine with a store, rules and its own clock.
type play struct {
	judge  *clock.Judge
	t      testing.TB
	dir    string
	config Config
	output strings.Builder
	logged lockedText // warnings and errors

	wall time.Time
	boot time.Duration
	mono time.Duration
	free atomic.Int64 // bytes of the disk

	store   *store.Store
	querier *query.Querier
	alerts  *Alerting
	series  map[string]*measured
	states  map[string]string
	down    bool            // whether Deliver fails
	sent    map[string]bool // IDs of notices
	hosts   map[string]time.Time
	muted   map[string]bool
	// channels are the names of the channels.
	channels []string
}

// measured is a series.
type measured struct {
	store.Series
	value   float64
	on, end bool
}

// enoughSpace is the free space of a disk that is not full.
const enoughSpace = 1 << 40

// dawn is when every script begins.
var dawn = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func newPlay(t testing.TB, rules string) *play {
	t.Helper()
	p := &play{
		t: t, dir: t.TempDir(), wall: dawn, boot: time.Hour, series: map[string]*measured{}, states: map[string]string{}, sent: map[string]bool{},
		hosts: map[string]time.Time{}, muted: map[string]bool{}, channels: []string{"mail", "pager"},
	}
	p.free.Store(enoughSpace)
	path := filepath.Join(p.dir, "rules.yml")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	p.config = Config{Rules: []string{path}, Interval: 15 * time.Second}
	p.openStore()
	p.open()
	t.Cleanup(func() {
		if err := p.alerts.Close(); err != nil {
			t.Error(err)
		}
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *play) openStore() {
	p.t.Helper()
	p.judge = clock.New(clock.Options{
		File: filepath.Join(p.dir, "clock.json"), BootID: "one", Synced: func() bool { return false },
		Wall: func() time.Time { return p.wall }, Boot: func() time.Duration { return p.boot },
	})
	var err error
	p.store, err = store.Open(store.Options{
		Dir: filepath.Join(p.dir, "store"), Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"),
		Clock: p.judge,
		Free:  func(string) (int64, error) { return p.free.Load(), nil },
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if p.free.Load() == enoughSpace {
		<-p.store.Opened()
	}
	// On a full disk the history is only read.
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !p.store.SeenFrom().IsZero() {
		<-poll.C
	}
	sources := query.Sources(p.store.Tiers())
	p.querier = query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return sources }, Names: p.store.Rollups(), Interval: time.Second, Limits: query.DefaultLimits(),
		Scrape: query.Scrape{Jobs: []string{"sysotel", "node"}, Instance: func(host string) string { return host + ":9100" }},
	})
}

func (p *play) open() {
	p.t.Helper()
	var err error
	p.alerts, err = Open(p.t.Context(), Options{
		Config: p.config, Dir: filepath.Join(p.dir, "alerting"), Host: "h", Querier: p.querier, Catalogue: catalogue, Unready: p.store.Unready, SeenFrom: p.store.SeenFrom,
		Notifier: p, Link: func() string { return "http://h" },
		Processes: func(byMemory bool) []notify.Process {
			return []notify.Process{{Name: "burner", PID: 7, CPUPercent: 99}}
		},
		Events: func(e records.Event) error { return nil },
		Store:  p.store,
		Hosts: func(context.Context) (all []Host, err error) {
			for _, name := range slices.Sorted(maps.Keys(p.hosts)) {
				all = append(all, Host{name, p.hosts[name]})
			}
			return all, nil
		},
		Log: slog.New(slog.NewTextHandler(&p.logged, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: p.replaceLogged})), Clock: p.judge, Mono: func() time.Duration { return p.mono },
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// ChannelNames implements Notifier.
func (p *play) ChannelNames() []string { return p.channels }

// Deliver implements Notifier.
func (p *play) Deliver(_ context.Context, n notify.Notice) error {
	if p.down {
		return fmt.Errorf("the notifier is down")
	}
	if p.sent[n.ID] {
		return nil
	}
	p.sent[n.ID] = true
	line := fmt.Sprintf("  %s notify %s: %s", p.clock(), n.State, n.Rule)
	if n.Value != nil {
		line += " " + number(*n.Value)
	}
	if n.Threshold != "" {
		line += " (" + n.Threshold + ")"
	}
	if n.Changes > 0 {
		line += fmt.Sprintf(", %d changes", n.Changes)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Labels)) {
		if name != model.AlertNameLabel && name != "host_name" {
			line += " " + name + "=" + n.Labels[name]
		}
	}
	line += ", since " + n.Since.Format(time.TimeOnly)
	if len(n.Channels) > 0 {
		line += ", to " + strings.Join(n.Channels, " and ")
	}
	if len(n.Processes) > 0 {
		line += ", " + n.Processes[0].Name
	}
	fmt.Fprintln(&p.output, line)
	return nil
}

func (p *play) clock() string { return p.judge.Now().Format(time.TimeOnly) }

// name parses a series in PromQL notation.
func (p *play) name(text string) *measured {
	p.t.Helper()
	if m := p.series[text]; m != nil {
		return m
	}
	metric, err := query.NewParser().ParseMetric(text)
	if err != nil {
		p.t.Fatal(err)
	}
	b := labels.NewBuilder(metric)
	b.Set("host_name", "h")
	m := &measured{Series: store.Series{Labels: b.Labels()}}
	p.series[text] = m
	return m
}

func (p *play) duration(text string) time.Duration {
	p.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// command runs one line.
func (p *play) command(line string) {
	p.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	ctx := p.t.Context()
	check := func(err error) {
		if err != nil {
			fmt.Fprintf(&p.output, "  refused: %v\n", err)
		}
	}
	switch verb {
	case "set":
		at := strings.LastIndex(rest, " ")
		v, err := strconv.ParseFloat(rest[at+1:], 64)
		if err != nil {
			p.t.Fatal(err)
		}
		m := p.name(rest[:at])
		m.value, m.on, m.end = v, true, false
	case "stop":
		p.name(rest).on = false
	case "end":
		m := p.name(rest)
		m.on, m.end = false, true
	case "pass":
		p.pass(p.duration(rest), true)
	case "off":
		p.close()
		d := p.duration(rest)
		p.wall, p.boot, p.mono = p.wall.Add(d), p.boot+d, 0
		p.openStore()
		p.open()
	case "kill":
		// Without a clean shutdown.
		if err := p.alerts.file.Close(); err != nil {
			p.t.Fatal(err)
		}
		p.mono = 0
		p.open()
	case "sleep":
		d := p.duration(rest)
		p.wall, p.boot = p.wall.Add(d), p.boot+d
	case "disk":
		// On a full disk a store that is opened stays opening.
		p.free.Store(7 << 20)
		if rest == "free" {
			p.free.Store(enoughSpace)
			<-p.store.Opened()
		}
	case "step":
		p.wall = p.wall.Add(p.duration(rest))
	case "notifier":
		p.down = rest == "down"
	case "silence":
		matcher, d, _ := strings.Cut(rest, " ")
		name, value, _ := strings.Cut(matcher, "=")
		_, err := p.alerts.AddSilence(ctx, Silence{Start: p.wall, End: p.wall.Add(p.duration(d)), Matchers: []Matcher{{Name: name, Value: value}}, Comment: "a test"})
		check(err)
	case "threshold":
		var t Threshold
		t.SetDefaults()
		if err := json.Unmarshal([]byte(rest), &t); err != nil {
			p.t.Fatal(err)
		}
		_, err := p.alerts.AddThreshold(ctx, t)
		check(err)
	case "disable", "enable":
		_, err := p.alerts.EnableRule(ctx, rest, verb == "enable")
		check(err)
	case "host":
		p.hosts[rest], p.muted[rest] = p.wall, false
	case "mute":
		p.muted[rest] = true
	case "alerts":
		for _, a := range p.alerts.Alerts() {
			fmt.Fprintf(&p.output, "  %s %s value=%s changes=%d silences=%d\n", a.Rule, a.State, known(a.Value), a.Changes, len(a.Silences))
		}
	case "history":
		all, err := p.alerts.History(ctx, HistoryQuery{Start: dawn, End: p.wall, Limit: 100})
		check(err)
		for _, e := range all {
			ended := "still"
			if !e.EndedAt.IsZero() {
				ended = e.EndedAt.Format(time.TimeOnly)
			}
			fmt.Fprintf(&p.output, "  %s %s fired %s at %s ended %s at %s, %d notifications %s\n",
				e.Rule, e.State, e.FiredAt.Format(time.TimeOnly), known(e.Value), ended, known(e.EndValue), e.Notifications, e.Why)
		}
	case "rules":
		for _, r := range p.alerts.Rules() {
			fmt.Fprintf(&p.output, "  %s: %s, %s\n", r.Name, r.Expr, r.Annotations[annotationSummary])
		}
	case "status":
		for _, r := range p.alerts.Rules() {
			fmt.Fprintf(&p.output, "  %s: %s, health %s", r.Name, r.State, r.Health)
			for _, missing := range r.NoSeries {
				fmt.Fprintf(&p.output, "; %s", missing)
			}
			fmt.Fprintln(&p.output)
		}
	case "health":
		h := p.alerts.Health()
		fmt.Fprintf(&p.output, "  %s %s\n", h.Status, h.Reason)
	case "log":
		p.output.WriteString(p.logged.String())
		p.logged.Reset()
	case "preview":
		p.preview(rest)
	default:
		p.t.Fatalf("unknown command: %s", line)
	}
}

// known is a value that may not be known.
func known(v *float64) string {
	if v == nil {
		return "?"
	}
	return number(*v)
}

// preview previews a rule since the beginning.
func (p *play) preview(text string) {
	p.t.Helper()
	var asked struct {
		Threshold *Threshold
		Expr, For string
	}
	if err := json.Unmarshal([]byte(text), &asked); err != nil {
		p.t.Fatal(err)
	}
	query := PreviewQuery{Threshold: asked.Threshold, Expr: asked.Expr, Start: dawn, End: p.wall}
	if asked.For != "" {
		query.For = p.duration(asked.For)
	}
	found, err := p.alerts.Preview(p.t.Context(), query)
	if err != nil {
		fmt.Fprintf(&p.output, "  refused: %v\n", err)
		return
	}
	fmt.Fprintf(&p.output, "  %d times, %g s, step %g s, %s\n", found.Count, found.Seconds, found.Step, found.Expr)
	if !found.MeasuredFrom.IsZero() {
		fmt.Fprintf(&p.output, "  measured from %s\n", found.MeasuredFrom.Format(time.TimeOnly))
	}
	for _, missing := range found.NoSeries {
		fmt.Fprintf(&p.output, "  no series: %s\n", missing)
	}
	for _, f := range found.Firings {
		until := "the end"
		if !f.To.IsZero() {
			until = f.To.Format(time.TimeOnly)
		}
		fmt.Fprintf(&p.output, "  from %s to %s, since %s, at most %g\n", f.From.Format(time.TimeOnly), until, f.Since.Format(time.TimeOnly), *f.Value)
	}
}

func (p *play) close() {
	p.t.Helper()
	if err := p.alerts.Close(); err != nil {
		p.t.Fatal(err)
	}
	if err := p.store.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// pass lets time pass: a reading each second, an evaluation every 15 seconds.
func (p *play) pass(d time.Duration, read bool) {
	p.t.Helper()
	for range int(d / time.Second) {
		p.wall, p.boot, p.mono = p.wall.Add(time.Second), p.boot+time.Second, p.mono+time.Second
		for name := range p.hosts {
			if !p.muted[name] {
				p.hosts[name] = p.wall
			}
		}
		p.judge.Observe()
		if read {
			p.read()
		}
		if p.judge.Now().Unix()%15 == 0 {
			p.alerts.Evaluate(p.t.Context())
			p.changes()
		}
	}
}

// lockedText is a text that several goroutines write.
type lockedText struct {
	mu sync.Mutex
	strings.Builder
}

// Write implements io.Writer.
func (t *lockedText) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.WriteString("  ")
	return t.Builder.Write(line)
}

// replaceLogged leaves out what differs in each run.
func (p *play) replaceLogged(_ []string, a slog.Attr) slog.Attr {
	switch {
	case a.Key == slog.TimeKey:
		return slog.Attr{}
	case a.Value.Kind() == slog.KindString:
		return slog.String(a.Key, strings.ReplaceAll(a.Value.String(), p.dir, "DIR"))
	}
	return a
}

// catalogue has a metric that no script measures.
func catalogue() Catalogue {
	return Catalogue{Metrics: []string{"zfs_arc_size_bytes"}, REST: []string{"disk_write_bytes"}}
}

// read appends one reading of each family: what stands before the first _ of a
// name is the family.
func (p *play) read() {
	p.t.Helper()
	families := map[string]*store.CollectorReading{}
	for _, name := range slices.Sorted(maps.Keys(p.series)) {
		m := p.series[name]
		family, _, _ := strings.Cut(name, "_")
		f := families[family]
		if f == nil && (m.on || m.end) {
			f = &store.CollectorReading{Collector: family}
			families[family] = f
		}
		switch {
		case m.on:
			f.Samples = append(f.Samples, store.Sample{Series: &m.Series, Value: m.value})
		case m.end:
			f.Ended = append(f.Ended, &m.Series)
			m.end = false
		}
	}
	reading := store.Reading{Time: p.judge.Now()}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		reading.Collectors = append(reading.Collectors, *families[name])
	}
	if err := p.store.Append(reading); err != nil {
		p.t.Fatal(err)
	}
	// A second takes no time here: the store must not fall behind while it moves.
	for deadline := time.After(time.Minute); p.free.Load() > 64<<20 && (!p.store.SeenFrom().IsZero() || p.store.Stats().Waiting > 0); {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			p.t.Fatal(p.store.Health())
		}
	}
}

// changes prints the alerts whose state changed since the last evaluation.
func (p *play) changes() {
	now := map[string]string{}
	for _, a := range p.alerts.Alerts() {
		key := a.Rule
		for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
			if name != model.AlertNameLabel && name != "host_name" && name != severityLabel {
				key += " " + name + "=" + a.Labels[name]
			}
		}
		now[key] = a.State
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if p.states[key] != now[key] {
			fmt.Fprintf(&p.output, "  %s %s is %s\n", p.clock(), key, now[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.states)) {
		if _, still := now[key]; !still && p.states[key] != Resolved {
			fmt.Fprintf(&p.output, "  %s %s is %s\n", p.clock(), key, Inactive)
		}
	}
	p.states = now
}
