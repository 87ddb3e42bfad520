package instruments

import (
	"cmp"
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"sysotel/instruments/command"
	"sysotel/instruments/exposition"
	"sysotel/instruments/textfile"
)

// Custom is a reading of custom metrics: those of text files and of commands. Package
// export sends Families; Report reports the status of the sources only.
type Custom struct {
	// Families are the metrics of all sources, one metric family per name, in the
	// order of their names. Readings share them: they must not be changed.
	Families []*dto.MetricFamily
	// Errors are the errors of the sources, which stay until they are fixed.
	Errors []exposition.SourceError

	sources []exposition.Source
	at      time.Time
}

var (
	sourceKey = Key{Name: "source", Help: "name of the command, or path of the text file or directory"}

	customSuccess = &Metric{
		Name: "sysotel.custom.success", Kind: Gauge, Integer: true, Keys: []Key{sourceKey},
		Help: "1 where a source of custom metrics delivered all its metrics, 0 where it failed or some were refused.", Source: "custom.textfile and custom.commands",
	}
	customDuration = &Metric{
		Name: "sysotel.custom.duration", Unit: "s", Kind: Gauge, Keys: []Key{sourceKey},
		Help: "How long a command ran the last time, or how long a text file took to read when it last changed.", Source: "custom.textfile and custom.commands",
	}
	customAge = &Metric{
		Name: "sysotel.custom.age", Unit: "s", Kind: Gauge, Keys: []Key{sourceKey},
		Help: "Time since the metrics of a source were written: since a text file last changed, or a command ended.", Source: "stat(2) st_mtime of the text file; the end of the command; not reported by a clock that is behind it",
	}
	customChanges = &Metric{
		Name: "sysotel.custom.changes", Unit: "{change}", Kind: Counter, Integer: true, Keys: []Key{sourceKey},
		Help: "How often the metrics of a source were written anew since the agent first read them, as far as it saw.", Source: "custom.textfile and custom.commands",
	}
)

// custom reads text files when they change and runs commands when they are due.
type custom struct {
	directories []*textfile.Directory
	commands    []*command.Command
	merged      *Custom // the newest reading but for its time, shared until a source changes
	own         map[string]bool
	budget      *exposition.Budget
	// series is how many all sources together may give.
	series int
	// patience is how long a tick waits for the directories in all. On a sound disk it is
	// enough for a tick to have what is there.
	patience time.Duration
	stop     context.CancelFunc
	ctx      context.Context
}

var _ Configurable = (*custom)(nil)

func newCustom(c Config) Collector {
	f := &custom{budget: &exposition.Budget{}, patience: 20 * time.Millisecond}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.Configure(c)
	return f
}

func (*custom) Name() string { return "custom" }

func (*custom) Metrics() []*Metric {
	return []*Metric{customSuccess, customDuration, customAge, customChanges}
}

// Reserve keeps names on the scrape page, those of the agent's own metrics, from custom
// metrics. It is called once, before the first reading.
func Reserve(collectors []Collector, names map[string]bool) {
	for _, collector := range collectors {
		if c, ok := collector.(*custom); ok {
			c.own = names
		}
	}
}

// Configure implements Configurable. Unchanged commands keep running.
func (c *custom) Configure(config Config) {
	before := c.commands
	c.series = cmp.Or(config.Custom.Series, defaultCustomSeries)
	for _, d := range c.directories {
		d.Stop()
	}
	c.directories, c.commands, c.merged = nil, nil, nil
	for _, dir := range config.Custom.Textfile {
		c.directories = append(c.directories, textfile.New(filepath.Clean(dir), c.budget.Share()))
	}
	for _, wanted := range config.Custom.Commands {
		i := slices.IndexFunc(before, func(old *command.Command) bool { return old.Is(wanted) })
		if i >= 0 {
			c.commands = append(c.commands, before[i])
			continue
		}
		c.commands = append(c.commands, command.New(c.ctx, wanted, c.budget.Share()))
	}
	for _, old := range before {
		if !slices.Contains(c.commands, old) {
			old.Stop()
		}
	}
}

// Close kills the commands that run and waits for their end. The collector can
// no longer be read.
func (c *custom) Close() error {
	c.stop()
	for _, command := range c.commands {
		command.Wait()
	}
	return nil
}

// noSources is ErrUnsupported with its own text: the machine lacks nothing.
type noSources struct{}

// Error implements error.
func (noSources) Error() string { return "neither custom.textfile nor custom.commands names a source" }

// Is makes errors.Is report it as ErrUnsupported.
func (noSources) Is(target error) bool { return target == ErrUnsupported }

func (c *custom) Read(_ context.Context, h *Host, t Tick) (Reading, error) {
	if len(c.directories)+len(c.commands) == 0 {
		return nil, noSources{}
	}
	if c.ctx.Err() != nil {
		return nil, errors.New("the collector is closed")
	}
	changed := c.merged == nil
	began := time.Now()
	for _, d := range c.directories {
		d.Patience = max(c.patience-time.Since(began), 0)
		changed = d.Refresh(h.Now) || changed
	}
	for _, command := range c.commands {
		changed = command.Refresh(h.Now, t.Interval) || changed
	}
	if changed {
		var sources []exposition.Source
		for _, d := range c.directories {
			sources = append(sources, d.Sources()...)
		}
		for _, command := range c.commands {
			sources = append(sources, command.Source())
		}
		families, errs := exposition.Merge(sources, c.own, c.series)
		c.merged = &Custom{Families: families, Errors: errs, sources: sources}
	}
	reading := *c.merged
	reading.at = t.Time
	return &reading, nil
}

// Report implements Reading.
func (c *Custom) Report(o *Observer) {
	for _, s := range c.sources {
		if math.IsNaN(s.Seconds) {
			continue
		}
		ok := int64(0)
		if s.OK {
			ok = 1
		}
		o.Int(customSuccess, ok, s.Name)
		o.Float(customDuration, s.Seconds, s.Name)
		if age := c.at.Sub(s.Written); !s.Written.IsZero() && age >= 0 {
			o.Float(customAge, age.Seconds(), s.Name)
		}
		if !s.Written.IsZero() {
			o.Int(customChanges, s.Changes, s.Name)
		}
	}
}

var _ Partial = (*Custom)(nil)

// Missing implements Partial: one entry per source, with its first error.
func (c *Custom) Missing() []Missing {
	var missing []Missing
	for _, e := range c.Errors {
		if !slices.ContainsFunc(missing, func(m Missing) bool { return m.Subject == e.Source }) {
			missing = append(missing, Missing{Subject: e.Source, Reason: e.Err.Error()})
		}
	}
	return missing
}
