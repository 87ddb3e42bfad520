package instruments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Custom is a reading of metrics that are not ours: those of text files and of
// commands. The pipeline sends Families; Report tells only how the sources fare.
type Custom struct {
	// Families are the metrics of all sources, one metric family a name, in the order
	// of their names. Readings share them: they must not be changed.
	Families []*dto.MetricFamily
	// Errors are the mistakes of the sources, which stand until they are mended.
	Errors []SourceError

	sources []customSource
}

// SourceError is a mistake of one source of custom metrics.
type SourceError struct {
	// Source is the name of a command, or the path of a file or a directory.
	Source string
	// Err names the metric or the line.
	Err error
}

// Error implements error.
func (e SourceError) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns the mistake itself.
func (e SourceError) Unwrap() error { return e.Err }

// customSource is what one text file or command gave the last time.
type customSource struct {
	name     string
	families []*dto.MetricFamily
	errs     []error
	// ok and seconds tell how the last look at the source went; it is unknown
	// until a command has ended for the first time.
	ok      bool
	seconds float64
}

var (
	sourceKey = Key{Name: "source", Help: "name of the command, or path of the text file or directory"}

	customSuccess = &Metric{
		Name: "sysotel.custom.success", Kind: Gauge, Integer: true, Keys: []Key{sourceKey},
		Help: "1 where a source of custom metrics gave all its metrics, 0 where it failed or some were refused.", Source: "custom.textfile and custom.commands",
	}
	customDuration = &Metric{
		Name: "sysotel.custom.duration", Unit: "s", Kind: Gauge, Keys: []Key{sourceKey},
		Help: "How long a command ran the last time, or how long a text file took to read when it last changed.", Source: "custom.textfile and custom.commands",
	}
)

// custom reads text files when they change and runs commands when they are due.
type custom struct {
	directories []*textDirectory
	commands    []*command
	merged      *Custom // the newest reading, shared until a source changes
	stop        context.CancelFunc
	ctx         context.Context
}

var _ Configurable = (*custom)(nil)

func newCustom(c Config) Collector {
	f := &custom{}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.Configure(c)
	return f
}

func (*custom) Name() string { return "custom" }

func (*custom) Metrics() []*Metric { return []*Metric{customSuccess, customDuration} }

// Configure implements Configurable. Commands that stay as they were go on.
func (c *custom) Configure(config Config) {
	before := c.commands
	c.directories, c.commands, c.merged = nil, nil, nil
	for _, dir := range config.Custom.Textfile {
		c.directories = append(c.directories, &textDirectory{path: filepath.Clean(dir)})
	}
	for _, wanted := range config.Custom.Commands {
		i := slices.IndexFunc(before, func(old *command) bool { return old.sameAs(wanted) })
		if i >= 0 {
			c.commands = append(c.commands, before[i])
			continue
		}
		c.commands = append(c.commands, newCommand(c.ctx, wanted))
	}
	for _, old := range before {
		if !slices.Contains(c.commands, old) {
			old.cancel()
		}
	}
}

// Close kills the commands that run and waits for their end. The family can be
// read no more.
func (c *custom) Close() error {
	c.stop()
	for _, command := range c.commands {
		if command.running {
			<-command.ended
			command.running = false
		}
	}
	return nil
}

// noSources is ErrUnsupported in words of its own: the machine lacks nothing.
type noSources struct{}

// Error implements error.
func (noSources) Error() string { return "neither custom.textfile nor custom.commands names a source" }

// Is has errors.Is take it for ErrUnsupported.
func (noSources) Is(target error) bool { return target == ErrUnsupported }

func (c *custom) Read(_ context.Context, h *Host, t Tick) (Reading, error) {
	if len(c.directories)+len(c.commands) == 0 {
		return nil, noSources{}
	}
	if c.ctx.Err() != nil {
		return nil, errors.New("the family is closed")
	}
	changed := c.merged == nil
	for _, d := range c.directories {
		changed = d.refresh(h) || changed
	}
	for _, command := range c.commands {
		changed = command.refresh(h, t) || changed
	}
	if changed {
		var sources []customSource
		for _, d := range c.directories {
			sources = append(sources, d.sources()...)
		}
		for _, command := range c.commands {
			sources = append(sources, command.source)
		}
		c.merged = mergeSources(sources)
	}
	return c.merged, nil
}

// Report implements Reading.
func (c *Custom) Report(o *Observer) {
	for _, s := range c.sources {
		if math.IsNaN(s.seconds) {
			continue
		}
		ok := int64(0)
		if s.ok {
			ok = 1
		}
		o.Int(customSuccess, ok, s.name)
		o.Float(customDuration, s.seconds, s.name)
	}
}

var _ Partial = (*Custom)(nil)

// Missing implements Partial: one entry a source, with its first mistake.
func (c *Custom) Missing() []Missing {
	var missing []Missing
	for _, e := range c.Errors {
		if !slices.ContainsFunc(missing, func(m Missing) bool { return m.Subject == e.Source }) {
			missing = append(missing, Missing{Subject: e.Source, Reason: e.Err.Error()})
		}
	}
	return missing
}

// mergeSources puts the families of all sources together, one a name. Where two
// sources claim one series or one name with two meanings, the first has it.
func mergeSources(sources []customSource) *Custom {
	merged := &Custom{sources: sources}
	families := map[string]*dto.MetricFamily{} // by the names that a scrape page shows
	from := map[string]string{}                // the source of each family and series
	for i := range sources {
		s := &sources[i]
		refuse := func(format string, a ...any) {
			s.ok = false
			merged.Errors = append(merged.Errors, SourceError{s.name, fmt.Errorf(format, a...)})
		}
		for _, err := range s.errs {
			merged.Errors = append(merged.Errors, SourceError{s.name, err})
		}
		for _, f := range s.families {
			names := pageNames(f)
			family := families[names[0]]
			clash := slices.IndexFunc(names, func(n string) bool {
				other := families[n]
				return other != nil && (other.GetName() != f.GetName() || other.GetType() != f.GetType())
			})
			if clash >= 0 {
				other := families[names[clash]]
				refuse("metric %s (%s) cannot be told from %s (%s) of %s", f.GetName(), typeWord(f), other.GetName(), typeWord(other), from[other.GetName()])
				continue
			}
			if family == nil {
				family = &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type}
				merged.Families = append(merged.Families, family)
				from[f.GetName()] = s.name
				for _, n := range names {
					families[n] = family
				}
			}
			refused := 0
			for _, m := range f.Metric {
				series := seriesName(f, m)
				if first, taken := from[series]; taken {
					if refused++; refused == 1 {
						refuse("series %s is also in %s", series, first)
					}
					continue
				}
				from[series] = s.name
				family.Metric = append(family.Metric, m)
			}
		}
	}
	slices.SortFunc(merged.Families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return merged
}

// pageNames lists the names that a family takes: its own, and those on a scrape
// page once it went through OpenTelemetry, where runs of underscores are one and
// counters end in _total.
func pageNames(f *dto.MetricFamily) []string {
	name := strings.Join(strings.FieldsFunc(f.GetName(), func(r rune) bool { return r == '_' }), "_")
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return []string{strings.TrimSuffix(name, "_total") + "_total", name}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_sum_total", name + "_count", name + "_count_total"}
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_sum", name + "_count", name + "_bucket"}
	}
	return []string{name}
}

// seriesName writes a series as in a query: name{label="value"}.
func seriesName(f *dto.MetricFamily, m *dto.Metric) string {
	labels := make([]string, 0, len(m.Label))
	for _, l := range m.Label {
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(labels)
	return f.GetName() + "{" + strings.Join(labels, ",") + "}"
}

func typeWord(f *dto.MetricFamily) string { return strings.ToLower(f.GetType().String()) }

// since is how long something took, in seconds.
func since(h *Host, start time.Time) float64 { return h.Now().Sub(start).Seconds() }
