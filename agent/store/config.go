package store

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config has the keys under store in sysotel.yaml.
type Config struct {
	Backend string `yaml:"backend" enum:"embedded|victoriametrics|none" help:"Backend of the history: embedded keeps this machine's readings in the data directory; victoriametrics queries the nodes below, to which many machines push, and uses the data directory as a cache for this machine while they do not respond; none keeps no history."`
	// VictoriaMetrics are URLs by the names of the tiers.
	VictoriaMetrics map[string]string `yaml:"victoriametrics" help:"For the backend victoriametrics: the URL of each tier's node, by resolution, such as 1s: http://127.0.0.1:8428. The nodes must have the retention of the tiers. For a cluster the URL includes the path, such as /select/0/prometheus."`
	Tiers           []TierConfig      `yaml:"tiers" help:"Tiers, finest first: the first keeps every reading, the others keep averages, minima and maxima."`
	MaxBytes        ByteSize          `yaml:"max_bytes" help:"Maximum size of the data directory, such as 512MiB or 1GiB; the oldest data of the finest tier is deleted first. At least 64MiB."`
}

// TierConfig is one tier.
type TierConfig struct {
	Resolution time.Duration `yaml:"resolution" help:"Time between two points: whole seconds, a multiple of the tier before and a divisor of a day."`
	Retention  time.Duration `yaml:"retention" help:"How long points are kept; longer than in the tier before."`
}

// Defaults returns the default configuration.
func Defaults() Config {
	const day = 24 * time.Hour
	return Config{
		Backend: Embedded,
		Tiers: []TierConfig{
			{Resolution: time.Second, Retention: day},
			{Resolution: time.Minute, Retention: 7 * day},
			{Resolution: 5 * time.Minute, Retention: 30 * day},
			{Resolution: time.Hour, Retention: 365 * day},
		},
		MaxBytes: 1 << 30,
	}
}

// minMaxBytes is what the WAL of a busy machine needs, with space for some blocks.
const minMaxBytes ByteSize = 64 << 20

// Validate calls wrong for every validation error with the path of the option, its
// value and the rule. That the ticks fit into the finest tier is checked where
// sampling.interval is known.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	const day = 24 * time.Hour
	if c.MaxBytes < minMaxBytes {
		wrong("max_bytes", c.MaxBytes, "must be at least "+minMaxBytes.String())
	}
	c.validateNodes(wrong)
	if len(c.Tiers) == 0 || len(c.Tiers) > 8 {
		wrong("tiers", len(c.Tiers), "must be 1 to 8 tiers")
	}
	for i, t := range c.Tiers {
		at := fmt.Sprintf("tiers[%d].", i)
		switch {
		case t.Resolution < time.Second || t.Resolution > day || t.Resolution%time.Second != 0 || day%t.Resolution != 0:
			wrong(at+"resolution", t.Resolution, "must be whole seconds that divide a day, such as 1s, 10s, 1m or 1h")
		case i > 0 && c.Tiers[i-1].Resolution >= time.Second && (t.Resolution <= c.Tiers[i-1].Resolution || t.Resolution%c.Tiers[i-1].Resolution != 0):
			wrong(at+"resolution", t.Resolution, "must be a multiple of the previous tier's, "+c.Tiers[i-1].Resolution.String())
		}
		switch {
		case t.Retention < 60*t.Resolution || t.Retention < time.Hour:
			wrong(at+"retention", t.Retention, "must be at least an hour and 60 times the resolution")
		case t.Retention > 20*365*day:
			wrong(at+"retention", t.Retention, "must be at most 20 years")
		case i > 0 && t.Retention <= c.Tiers[i-1].Retention:
			wrong(at+"retention", t.Retention, "must be longer than the previous tier's, "+c.Tiers[i-1].Retention.String())
		}
	}
}

// Backends are the words for Config.Backend.
const (
	Embedded        = "embedded"
	VictoriaMetrics = "victoriametrics"
)

// validateNodes checks that each tier has a node.
func (c Config) validateNodes(wrong func(path string, value any, rule string)) {
	var names []string
	for _, t := range c.Tiers {
		names = append(names, TierName(t.Resolution))
	}
	for _, name := range slices.Sorted(maps.Keys(c.VictoriaMetrics)) {
		path, address := "victoriametrics."+name, c.VictoriaMetrics[name]
		if !slices.Contains(names, name) {
			wrong(path, withoutUser(address), "is not a tier; store.tiers has "+strings.Join(names, ", "))
			continue
		}
		if !isNode(address) {
			wrong(path, withoutUser(address), "must be http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:8428, without user and password; a path may follow")
		}
	}
	if c.Backend != VictoriaMetrics {
		return
	}
	for _, name := range names {
		if c.VictoriaMetrics[name] == "" {
			wrong("victoriametrics."+name, "", "is missing: with store.backend victoriametrics each tier needs the URL of its node; store.tiers has "+strings.Join(names, ", "))
		}
	}
}

// isNode reports whether s is the URL of a node.
func isNode(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// withoutUser hides everything before the host of a URL: it may be a password.
func withoutUser(address string) string {
	if i := strings.LastIndex(address, "@"); i >= 0 {
		return "<secret>" + address[i:]
	}
	return address
}

// ByteSize is a number of bytes, written like 512MiB.
type ByteSize int64

// units of a ByteSize, largest first. Decimal ones are only parsed.
func units() []struct {
	name string
	size int64
} {
	return []struct {
		name string
		size int64
	}{
		{"TiB", 1 << 40},
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"B", 1},
	}
}

// ParseByteSize parses a number with a unit: B, KiB, MiB, GiB, TiB, or kB, MB, GB,
// TB for powers of ten.
func ParseByteSize(text string) (ByteSize, error) {
	for _, unit := range units() {
		number, ok := strings.CutSuffix(strings.TrimSpace(text), unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || math.IsNaN(n) || n < 0 || n*float64(unit.size) >= math.MaxInt64 {
			break
		}
		return ByteSize(n * float64(unit.size)), nil
	}
	return 0, fmt.Errorf("%q is not a size such as 512MiB or 1GiB", text)
}

// String formats the size in the largest binary unit without a remainder.
func (b ByteSize) String() string {
	for _, unit := range units()[:4] {
		if b != 0 && int64(b)%unit.size == 0 {
			return strconv.FormatInt(int64(b)/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// UnmarshalText implements encoding.TextUnmarshaler by ParseByteSize.
func (b *ByteSize) UnmarshalText(text []byte) (err error) {
	*b, err = ParseByteSize(string(text))
	return err
}

// MarshalText implements encoding.TextMarshaler by String.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }
