package notify

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysotel/instruments/sanitize"
)

// maxText bounds a name or a sentence in a message. File names reach 255 bytes.
const maxText = 500

// clean turns untrusted text into one line of printable characters: no line breaks
// that forge a line, no bidirectional overrides, no terminal control.
func clean(s string) string { return sanitize.OneLine(s, maxText) }

// zeroWidth is a zero-width space: it breaks up what would be markup or a mention.
const zeroWidth = "\u200b"

// cleaned returns the notice with every text cleaned. Deliver does it once for all
// channels.
func (n Notice) cleaned() Notice {
	for _, s := range []*string{&n.Rule, &n.Host, &n.Severity, &n.Threshold, &n.Unit, &n.Summary, &n.Description, &n.Link} {
		*s = clean(*s)
	}
	if !strings.HasPrefix(n.Link, "https://") && !strings.HasPrefix(n.Link, "http://") {
		n.Link = "" // A relative URL is useless in a message.
	}
	n.Labels, n.Annotations = cleanMap(n.Labels), cleanMap(n.Annotations)
	n.Processes = slices.Clone(n.Processes)
	for i := range n.Processes {
		n.Processes[i].Name = clean(n.Processes[i].Name)
	}
	return n
}

func cleanMap(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	cleaned := make(map[string]string, len(m))
	for key, value := range m {
		cleaned[clean(key)] = clean(value)
	}
	return cleaned
}

// word is the state as shown in a message.
func (n Notice) word() string {
	switch n.State {
	case Firing:
		return "FIRING"
	case Resolved:
		return "RECOVERED"
	case NoData:
		return "NO DATA"
	case Reminder:
		return "STILL FIRING"
	case Flapping:
		return "FLAPPING"
	}
	return strings.ToUpper(clean(n.State))
}

// headline is the notice in one line.
func (n Notice) headline() string {
	s := n.word() + " " + n.Rule
	if n.Host != "" {
		s += " on " + n.Host
	}
	if n.Value != nil {
		s += ": " + n.value()
	}
	return s
}

// headline is the message in one line.
func (m message) headline() string {
	if m.test {
		return "TEST from " + m.notices[0].Host + ": " + m.notices[0].Summary
	}
	if len(m.notices) == 1 {
		return m.notices[0].headline()
	}
	return fmt.Sprintf("%d alerts: %s", len(m.notices), byRule(m.notices))
}

// byRule counts notices by state and rule: "3 FIRING DiskFull, 1 NO DATA HighCPU".
func byRule(all []Notice) string {
	counts := map[string]int{}
	for _, n := range all {
		counts[n.word()+" "+n.Rule]++
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b))
	})
	var parts []string
	for i, name := range names {
		if i == maxListed {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, strconv.Itoa(counts[name])+" "+name)
	}
	return strings.Join(parts, ", ")
}

// more sums up the notices that a message does not list, "" if it lists all.
func (m message) more() string {
	listed, more := m.listed()
	if more == 0 {
		return ""
	}
	return fmt.Sprintf("%d more: %s", more, byRule(m.notices[len(listed):]))
}

// value is the measured value with its unit.
func (n Notice) value() string {
	if n.Value == nil {
		return ""
	}
	return quantity(*n.Value, n.Unit)
}

// quantity formats a number with its unit.
func quantity(v float64, unit string) string {
	switch unit {
	case "bytes", "By":
		return bytesText(v)
	case "bytes/s", "By/s":
		return bytesText(v) + "/s"
	case "%":
		return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) + " %"
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'g', 4, 64) + " " + unit)
}

// bytesText formats a number of bytes in binary units, such as "1.5 GiB" or "82 MiB".
func bytesText(v float64) string {
	if !(v >= 0 && v < math.MaxUint64) {
		return strconv.FormatFloat(v, 'g', 4, 64) + " B"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for v = math.Floor(v); v >= 1024; v /= 1024 {
		i++
	}
	decimals := 0
	if v < 9.95 && i > 0 {
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + units[i]
}

// fact is a line of a message below its headline.
type fact struct{ Name, Text string }

// facts are the lines of a notice.
func (n Notice) facts() (facts []fact) {
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{name, text})
		}
	}
	add("Summary", n.Summary)
	add("Description", n.Description)
	add("Host", n.Host)
	add("Rule", n.Rule)
	add("Severity", n.Severity)
	add("Value", n.value())
	add("Threshold", strings.TrimSpace(n.Threshold+" "+n.Unit))
	add("Since", n.since())
	if n.Changes > 0 {
		add("Changes", fmt.Sprintf("%d; no more notifications until it is stable", n.Changes))
	}
	add("Labels", n.labelText())
	add("Processes", n.processText())
	return facts
}

// since is the start of the alert, and its end or its age.
func (n Notice) since() string {
	if n.Since.IsZero() {
		return ""
	}
	s := stamp(n.Since)
	if !n.Ended.IsZero() {
		return s + " until " + stamp(n.Ended) + " (" + duration(n.Ended.Sub(n.Since)) + ")"
	}
	if d := n.At.Sub(n.Since); d >= time.Second {
		s += " (" + duration(d) + " ago)"
	}
	return s
}

// stamp formats a time in the agent's time zone, with its name.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 MST") }

// duration formats a duration without insignificant units.
func duration(d time.Duration) string {
	if d >= time.Hour {
		d = d.Round(time.Minute)
	}
	s := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// labelText lists the labels that no other line shows.
func (n Notice) labelText() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(n.Labels)) {
		if !slices.Contains([]string{"alertname", "host_name", "severity"}, name) && n.Labels[name] != "" {
			parts = append(parts, name+"="+n.Labels[name])
		}
	}
	return strings.Join(parts, ", ")
}

// processText lists the top processes.
func (n Notice) processText() string {
	var parts []string
	for _, p := range n.Processes {
		pid := ""
		if p.PID > 0 {
			pid = fmt.Sprintf(" (pid %d)", p.PID)
		}
		parts = append(parts, fmt.Sprintf("%s%s %s CPU, %s", p.Name, pid, quantity(p.CPUPercent, "%"), bytesText(p.MemoryBytes)))
	}
	return strings.Join(parts, "; ")
}
