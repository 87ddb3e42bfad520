package top

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"sysotel/agent/alerting"
	"sysotel/api"
)

// number is a measured number, NaN if it is unknown, which is null in JSON.
type number float64

// unknown is an unknown number.
var unknown = number(math.NaN())

func (n number) known() bool { return n == n }

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if !n.known() || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Snapshot is the machine at one moment, as top shows it and as --json prints it.
// A number that is not known is null.
type Snapshot struct {
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	// Past is whether it was asked for with --at. Its numbers are then means over
	// so many seconds before the moment; 0 where the history holds nothing.
	Past       bool   `json:"past"`
	Resolution number `json:"resolution_seconds"`
	Uptime     number `json:"uptime_seconds"`

	CPU  number    `json:"cpu_percent"`
	Core []core    `json:"cores"`
	Load [3]number `json:"load_average"`

	Memory   meter  `json:"memory"`
	Swap     meter  `json:"swap"`
	Disk     meter  `json:"disk"`
	Fullest  mount  `json:"fullest_filesystem"`
	Read     number `json:"disk_read_bytes_per_sec"`
	Written  number `json:"disk_write_bytes_per_sec"`
	Received number `json:"network_received_bytes_per_sec"`
	Sent     number `json:"network_sent_bytes_per_sec"`

	// Alerts is nil, null in JSON, where they are not known.
	Alerts    []alert        `json:"alerts"`
	Processes *api.Processes `json:"processes"`
	// Missing says why a part is null.
	Missing []string `json:"missing,omitempty"`

	states states
}

// core is one logical processor.
type core struct {
	ID    string `json:"id"`
	Usage number `json:"usage_percent"`
}

// meter is a space in bytes and what is used of it.
type meter struct {
	Used    number `json:"used"`
	Total   number `json:"total"`
	Percent number `json:"percent"`
}

// mount is a file system, by its used share.
type mount struct {
	Mount   string `json:"mountpoint"`
	Percent number `json:"percent"`
}

// states counts processes by state; NaN where it is unknown.
type states struct{ total, running, blocked, zombies number }

// alert is one that fires at the moment.
type alert struct {
	Rule     string         `json:"rule"`
	State    alerting.State `json:"state"`
	Severity string         `json:"severity"`
	Summary  string         `json:"summary"`
	Since    time.Time      `json:"since"`
}

// take keeps the fuller one.
func (m *mount) take(name string, percent number) {
	if percent.known() && !(percent <= m.Percent) {
		m.Mount, m.Percent = name, percent
	}
}

// fromCurrent is the snapshot of a reading.
func fromCurrent(c *api.Current) *Snapshot {
	s := &Snapshot{
		Time: c.Timestamp, Host: c.Hostname, Resolution: number(c.IntervalSeconds), Uptime: number(c.UptimeSeconds),
		CPU:      number(c.CPU.UsagePercent),
		Memory:   meter{number(c.Memory.Used), number(c.Memory.Total), number(c.Memory.Percent)},
		Swap:     meter{number(c.Memory.Swap.Used), number(c.Memory.Swap.Total), number(c.Memory.Swap.Percent)},
		Disk:     meter{number(c.Disk.Used), number(c.Disk.Total), number(c.Disk.Percent)},
		Read:     number(c.Disk.IO.ReadBytesPerSec),
		Written:  number(c.Disk.IO.WriteBytesPerSec),
		Received: number(c.Network.BytesRecvPerSec),
		Sent:     number(c.Network.BytesSentPerSec),
		Fullest:  mount{Percent: unknown},
		states: states{
			number(c.Processes.Total), number(c.Processes.Running), number(c.Processes.Blocked), number(c.Processes.Zombies),
		},
	}
	for i := range s.Load {
		s.Load[i] = number(c.CPU.LoadAverage[i])
	}
	for _, one := range c.Disk.Filesystems {
		s.Fullest.take(one.Mountpoint, number(one.Percent))
	}
	for _, one := range c.CPU.Cores {
		s.Core = append(s.Core, core{one.ID, number(one.UsagePercent)})
	}
	return s
}

// A window has span points before the moment that was asked for and ahead after
// it, so that stepping needs no other.
const (
	span  = 300
	ahead = 60
)

// groups are the series that a window has.
var groups = [...]struct {
	name    string
	metrics []string
}{
	{"cpu", []string{"cpu_usage_total", "cpu_usage_per_core", "load_average_1", "load_average_5", "load_average_15"}},
	{"memory", []string{"memory_used", "memory_total", "memory_percent", "swap_used", "swap_total", "swap_percent"}},
	{"disk", []string{"disk_used", "disk_total", "disk_percent", "disk_read_bytes", "disk_write_bytes"}},
	{"network", []string{"net_bytes_recv", "net_bytes_sent"}},
}

// window is the history around a moment.
type window struct {
	host     string
	from, to time.Time
	step     time.Duration
	rows     map[string][]api.SeriesRow
	episodes []alerting.Episode
}

// holds reports whether the window is enough to show a moment with its past.
func (w *window) holds(t time.Time) bool {
	return w != nil && !t.Add(-span*w.step).Before(w.from.Add(-ahead*w.step)) && !t.After(w.to)
}

// duration parses the resolution of a tier, 0 if it is none.
func duration(text string) time.Duration {
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0
	}
	return time.Duration(d)
}

// whole is the row of a metric for the whole machine, nil if there is none.
func (w *window) whole(metric string) *api.SeriesRow {
	for i := range w.rows[metric] {
		if len(w.rows[metric][i].Labels) == 0 {
			return &w.rows[metric][i]
		}
	}
	return nil
}

// value is that of the point whose step covers a moment. A point covers the step
// that ends at its time.
func (w *window) value(row *api.SeriesRow, t time.Time) number {
	if row == nil {
		return unknown
	}
	at := float64(t.UnixMilli()) / 1000
	i, _ := slices.BinarySearch(row.T, at)
	if i >= len(row.T) || i >= len(row.Avg) || row.T[i]-at >= w.step.Seconds() {
		return unknown
	}
	return number(row.Avg[i])
}

// at is the snapshot of a past moment, without processes.
func (w *window) at(t time.Time) *Snapshot {
	value := func(metric string) number { return w.value(w.whole(metric), t) }
	s := &Snapshot{
		Time: t, Host: w.host, Past: true, Resolution: number(w.step.Seconds()), Uptime: unknown,
		CPU:      value("cpu_usage_total"),
		Load:     [3]number{value("load_average_1"), value("load_average_5"), value("load_average_15")},
		Memory:   meter{value("memory_used"), value("memory_total"), value("memory_percent")},
		Swap:     meter{value("swap_used"), value("swap_total"), value("swap_percent")},
		Disk:     meter{value("disk_used"), value("disk_total"), value("disk_percent")},
		Read:     value("disk_read_bytes"),
		Written:  value("disk_write_bytes"),
		Received: value("net_bytes_recv"),
		Sent:     value("net_bytes_sent"),
		Alerts:   []alert{},
		Fullest:  mount{Percent: unknown},
		states:   states{unknown, unknown, unknown, unknown},
	}
	for i, row := range w.rows["disk_percent"] {
		if name := row.Labels["mountpoint"]; name != "" {
			s.Fullest.take(name, w.value(&w.rows["disk_percent"][i], t))
		}
	}
	rows := w.rows["cpu_usage_per_core"]
	for i := range rows {
		s.Core = append(s.Core, core{rows[i].Labels["core"], w.value(&rows[i], t)})
	}
	slices.SortFunc(s.Core, func(a, b core) int { return coreNumber(a.ID) - coreNumber(b.ID) })
	for _, e := range w.episodes {
		if !e.FiredAt.After(t) && (e.EndedAt.IsZero() || e.EndedAt.After(t)) {
			s.Alerts = append(s.Alerts, alert{Rule: e.Rule, State: alerting.Firing, Severity: e.Severity, Summary: e.Summary, Since: e.FiredAt})
		}
	}
	if len(s.Alerts) == 0 && s.empty() {
		s.Alerts = nil // No alert is known of a time without readings, not even that there was none.
	}
	return s
}

// coreNumber is the number in cpu7, the maximum for another name.
func coreNumber(id string) int {
	for i := range len(id) {
		if n, err := strconv.Atoi(id[i:]); err == nil && n >= 0 {
			return n
		}
	}
	return math.MaxInt32
}

// empty reports whether nothing was measured at the moment.
func (s *Snapshot) empty() bool {
	for _, n := range []number{s.CPU, s.Memory.Percent, s.Disk.Percent, s.Read, s.Received} {
		if n.known() {
			return false
		}
	}
	return true
}

// tracks are the series of the sparklines.
type tracks struct{ cpu, memory, read, written, received, sent track }

// tracks fills sparklines from the window.
func (w *window) tracks() *tracks {
	t := new(tracks)
	for metric, into := range map[string]*track{
		"cpu_usage_total": &t.cpu, "memory_percent": &t.memory, "disk_read_bytes": &t.read,
		"disk_write_bytes": &t.written, "net_bytes_recv": &t.received, "net_bytes_sent": &t.sent,
	} {
		if row := w.whole(metric); row != nil {
			for i, at := range row.T {
				if i < len(row.Avg) {
					into.add(int64(at), number(row.Avg[i]), w.step)
				}
			}
		}
	}
	return t
}

// add adds a reading to the sparklines.
func (t *tracks) add(s *Snapshot, interval time.Duration) {
	at := s.Time.Unix()
	t.cpu.add(at, s.CPU, interval)
	t.memory.add(at, s.Memory.Percent, interval)
	t.read.add(at, s.Read, interval)
	t.written.add(at, s.Written, interval)
	t.received.add(at, s.Received, interval)
	t.sent.add(at, s.Sent, interval)
}
