package instruments

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sysotel/instruments/command"
	"sysotel/instruments/exposition"
	"sysotel/instruments/pattern"
	"sysotel/instruments/scrub"
)

// Config is what an operator can configure about the measuring. Its keys are at
// the top level of sysotel.yaml.
type Config struct {
	Host        HostConfig      `yaml:"host" help:"The measured machine."`
	Conventions Conventions     `yaml:"conventions" enum:"hostmetrics|semconv|both" help:"Naming of metrics and attributes: as in the Collector's host metrics receiver, as in the OpenTelemetry semantic conventions, or both."`
	Collectors  Collectors      `yaml:"instruments" entry:"collector" help:"The collectors, each of which measures one part of the machine."`
	Processes   ProcessesConfig `yaml:"processes" help:"The process table."`
	Custom      CustomConfig    `yaml:"custom" help:"Metrics of your own in the Prometheus text format."`
}

// HostConfig names the machine and says where its files are.
type HostConfig struct {
	Name string `yaml:"name" help:"Name of this machine in every metric (host.name); empty means the system's host name."`
	Root string `yaml:"root" path:"file" help:"Directory that contains the machine's /proc and /sys; empty means /host if it is mounted in a container, else /."`
}

// Collectors holds the configuration of each collector by its name. The keys are
// those of CollectorDefaults.
type Collectors map[string]CollectorConfig

// CollectorConfig is how one collector is read.
type CollectorConfig struct {
	Enabled  bool          `yaml:"enabled" help:"Whether the collector runs."`
	Interval time.Duration `yaml:"interval" help:"Time between two readings, a multiple of sampling.interval; 0s means sampling.interval."`
	Timeout  time.Duration `yaml:"timeout" help:"Timeout of a reading; after it the tick has a gap."`
	Retries  int           `yaml:"retries" help:"Retries of a failed reading within its tick, 0 to 5."`
	Include  []string      `yaml:"include" help:"For disk, filesystem and network: patterns of what to measure, instead of the built-in choice. * matches any characters, ? matches one; a prefix device:, mountpoint: or type: selects what is matched. In the file, quote a pattern that begins with *."`
	Names    int           `yaml:"names" help:"For process, disk, filesystem, network and cgroup: number of programs, devices, file systems, interfaces or control groups that have a name of their own in metrics and history at one time, 10 to 280. The others are added up under the name others, and the busiest have names."`
	Exclude  []string      `yaml:"exclude" help:"For disk, filesystem and network: patterns of what to exclude, even if include matches it."`
}

// ProcessesConfig is how much of the process table is reported.
type ProcessesConfig struct {
	Top         int      `yaml:"top" help:"Number of top processes to select by CPU, by memory and by I/O each, 1 to 200."`
	CommandLine bool     `yaml:"command_line" help:"Whether to keep the command lines of the selected processes, for administrators. Recognizable passwords, tokens and keys are masked first."`
	Scrub       []string `yaml:"scrub" help:"Patterns of more options, variables and headers whose values are masked in command lines, such as *_license; * matches any characters, ? matches one, ignoring case."`
	PID         bool     `yaml:"pid" help:"Whether to export the selected processes one by one too, with the attribute process.pid."`
}

// WithoutSecrets returns the arguments of a command with recognizable secrets
// masked, as in the command lines of processes.
func (c ProcessesConfig) WithoutSecrets(args []string) []string {
	return scrub.CommandLine(args, c.Scrub)
}

// CustomConfig says where metrics that are not ours come from.
type CustomConfig struct {
	Textfile []string         `yaml:"textfile" path:"file" help:"Directories whose *.prom files are read. A metric without a TYPE line is a counter if its name ends in _total, _sum, _count or _bucket."`
	Series   int              `yaml:"series" help:"Number of series that all sources together may have, 10 to 20000. A source that has more than the others leave is refused, and /health says so."`
	Commands []command.Config `yaml:"commands" help:"Programs that print metrics; they are set in the file only."`
}

// CollectorDefault is a collector's name, its default configuration and its
// constructor.
type CollectorDefault struct {
	Name string
	// Keys are what its patterns can name; a collector without keys takes no patterns.
	Keys   []string
	Config CollectorConfig

	make func(Config, func() AgentStats) Collector
}

// CollectorDefaults lists the collectors in the order in which they are read. It is
// the only list of collectors: a new one is added here. The file system
// comes last of the machine's parts, because a dead server
// can hang it.
func CollectorDefaults() []CollectorDefault {
	collector := func(name string, make func(Config, func() AgentStats) Collector, keys ...string) CollectorDefault {
		return CollectorDefault{name, keys, CollectorConfig{Enabled: true, Timeout: 500 * time.Millisecond, Retries: 1}, make}
	}
	named := func(d CollectorDefault, names int) CollectorDefault {
		d.Config.Names = names
		return d
	}
	network := collector("network", configured(newNetwork), "device")
	// The machine's ends of container networks come and go with every container;
	// inside, the same traffic is counted again. br- with twelve characters is
	// how Docker names a bridge; other bridges have other names.
	network.Config.Exclude = []string{"veth*", "cali*", "lxc*", "br-????????????"}
	return []CollectorDefault{
		collector("cpu", plain(newCPU)),
		collector("load", plain(newLoad)),
		collector("memory", plain(newMemory)),
		collector("paging", plain(newPaging)),
		collector("pressure", plain(newPressure)),
		named(collector("disk", configured(newDisk), "device"), defaultNames),
		named(network, defaultNames),
		named(collector("process", configured(newProcess)), defaultPrograms),
		collector("processes", plain(newProcesses)),
		collector("system", plain(newSystem)),
		collector("kernel", plain(newKernel)),
		collector("vmstat", plain(newVMStat)),
		collector("meminfo", plain(newMemInfo)),
		collector("netdev", configured(newNetdev)),
		collector("netstat", plain(newNetstat)),
		collector("sockstat", plain(newSockstat)),
		collector("softnet", plain(newSoftnet)),
		collector("conntrack", plain(newConntrack)),
		collector("arp", plain(newARP)),
		collector("schedstat", plain(newSchedstat)),
		collector("timex", plain(newTimex)),
		collector("sensors", plain(newSensors)),
		collector("inventory", plain(newInventory)),
		named(collector("cgroup", configured(newCgroup)), defaultNames),
		named(collector("filesystem", configured(newFilesystem), "device", "mountpoint", "type"), defaultNames),
		collector("custom", configured(newCustom)),
		collector("agent", func(_ Config, stats func() AgentStats) Collector { return newAgent(stats) }),
	}
}

// plain makes a collector that has no settings of its own.
func plain(make func() Collector) func(Config, func() AgentStats) Collector {
	return func(Config, func() AgentStats) Collector { return make() }
}

// configured makes a collector from its settings.
func configured(make func(Config) Collector) func(Config, func() AgentStats) Collector {
	return func(c Config, _ func() AgentStats) Collector { return make(c) }
}

// NewCollectors makes every collector, in the order in which they are read. stats
// is what the collector agent reports.
func NewCollectors(c Config, stats func() AgentStats) []Collector {
	var collectors []Collector
	for _, d := range CollectorDefaults() {
		collectors = append(collectors, d.make(c, stats))
	}
	return collectors
}

// Defaults is the default configuration.
func Defaults() Config {
	c := Config{
		Conventions: Hostmetrics,
		Collectors:  Collectors{},
		Processes:   ProcessesConfig{Top: 20},
		Custom:      CustomConfig{Series: defaultCustomSeries},
	}
	for _, d := range CollectorDefaults() {
		c.Collectors[d.Name] = d.Config
	}
	return c
}

// Takes reports whether a collector has the given key: only some have patterns, or names.
func (Collectors) Takes(collector, key string) bool {
	switch key {
	case "include", "exclude":
		return len(patternKeys(collector)) > 0
	case "names":
		return defaultOf(collector).Config.Names > 0
	}
	return true
}

// defaultOf is the entry of CollectorDefaults of a name, the zero value for none.
func defaultOf(collector string) CollectorDefault {
	for _, d := range CollectorDefaults() {
		if d.Name == collector {
			return d
		}
	}
	return CollectorDefault{}
}

// names is how many things of a collector have a name; the default where the
// configuration has none, as in tests.
func (c Config) names(collector string) int {
	return cmp.Or(c.Collectors[collector].Names, defaultOf(collector).Config.Names)
}

// Names lists the collectors in the order of CollectorDefaults.
func (Collectors) Names() []string {
	var names []string
	for _, d := range CollectorDefaults() {
		names = append(names, d.Name)
	}
	return names
}

// Filter is the collector's include and exclude patterns. An invalid one, which
// Validate reports, matches nothing.
func (c Config) Filter(collector string) pattern.Filter {
	f, keys := c.Collectors[collector], patternKeys(collector)
	include, _ := pattern.Parse(f.Include, keys...)
	exclude, _ := pattern.Parse(f.Exclude, keys...)
	return pattern.Filter{Include: include, Exclude: exclude}
}

// patternKeys are the keys that patterns of a collector can name.
func patternKeys(collector string) []string { return defaultOf(collector).Keys }

// Validate calls wrong for every validation error with the path of the option, its
// value and the rule that it breaks.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	if strings.ContainsFunc(c.Host.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(c.Host.Name) > 255 {
		wrong("host.name", c.Host.Name, "must be at most 255 characters without line breaks")
	}
	if c.Host.Root != "" && !path.IsAbs(c.Host.Root) {
		wrong("host.root", c.Host.Root, "must be an absolute path such as /host, or empty")
	}
	for _, d := range CollectorDefaults() {
		c.Collectors[d.Name].validate(d, wrong)
	}
	if c.Processes.Top < 1 || c.Processes.Top > 200 {
		wrong("processes.top", c.Processes.Top, "must be from 1 to 200")
	}
	for i, p := range c.Processes.Scrub {
		if strings.Trim(p, "*") == "" || strings.ContainsAny(p, "= \t") {
			wrong(fmt.Sprintf("processes.scrub[%d]", i), p, "must be a pattern of a name, such as *_license, without = and spaces")
		}
	}
	c.Custom.validate(wrong)
}

func (f CollectorConfig) validate(d CollectorDefault, wrong func(path string, value any, rule string)) {
	at := "instruments." + d.Name + "."
	if f.Interval != 0 && !wholeSeconds(f.Interval) {
		wrong(at+"interval", f.Interval, "must be 0s, or a whole number of seconds from 1s to 1h")
	}
	if f.Timeout < time.Millisecond || f.Timeout > time.Minute {
		wrong(at+"timeout", f.Timeout, "must be from 1ms to 1m")
	}
	if f.Retries < 0 || f.Retries > 5 {
		wrong(at+"retries", f.Retries, "must be from 0 to 5")
	}
	switch {
	case d.Config.Names == 0 && f.Names != 0:
		wrong(at+"names", f.Names, "the collector "+d.Name+" takes no number of names")
	case d.Config.Names > 0 && (f.Names < leastNames || f.Names > mostNames):
		wrong(at+"names", f.Names, fmt.Sprintf("must be from %d to %d", leastNames, mostNames))
	}
	validatePatterns(at+"include", f.Include, d, wrong)
	validatePatterns(at+"exclude", f.Exclude, d, wrong)
}

func validatePatterns(at string, patterns []string, d CollectorDefault, wrong func(path string, value any, rule string)) {
	if len(patterns) > 0 && len(d.Keys) == 0 {
		wrong(at, strings.Join(patterns, ", "), "the collector "+d.Name+" takes no patterns")
		return
	}
	for i, p := range patterns {
		if err := pattern.Check(p, d.Keys); err != nil {
			wrong(fmt.Sprintf("%s[%d]", at, i), p, err.Error())
		}
	}
}

// defaultCustomSeries take some 25 MB in all tiers.
const defaultCustomSeries = 2000

func (c CustomConfig) validate(wrong func(path string, value any, rule string)) {
	if c.Series < 10 || c.Series > exposition.MaxMerged {
		wrong("custom.series", c.Series, fmt.Sprintf("must be from 10 to %d", exposition.MaxMerged))
	}
	for i, dir := range c.Textfile {
		if dir == "" {
			wrong(fmt.Sprintf("custom.textfile[%d]", i), dir, "must be a directory")
		}
	}
	for i, one := range c.Commands {
		at := fmt.Sprintf("custom.commands[%d].", i)
		if !isWord(one.Name) {
			wrong(at+"name", one.Name, "must be a name of lower-case letters, digits, - and _")
		}
		if slices.ContainsFunc(c.Commands[:i], func(o command.Config) bool { return o.Name == one.Name }) {
			wrong(at+"name", one.Name, "another command has this name")
		}
		if len(one.Command) == 0 || one.Command[0] == "" {
			wrong(at+"command", "", "must be a list of the program and its arguments, such as [/usr/local/bin/raid-metrics, --short]")
		}
		if !wholeSeconds(one.Interval) {
			wrong(at+"interval", one.Interval, "must be a whole number of seconds from 1s to 1h")
		}
		if one.Timeout < time.Millisecond || one.Timeout > one.Interval {
			wrong(at+"timeout", one.Timeout, "must be from 1ms to the interval of the command, "+one.Interval.String())
		}
	}
}

func wholeSeconds(d time.Duration) bool {
	return d >= time.Second && d <= time.Hour && d%time.Second == 0
}

// isWord reports whether s can be a name: lower-case letters, digits, - and _.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
