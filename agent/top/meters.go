package top

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// level is the colour of a share in percent.
func level(percent float64) string {
	switch {
	case percent >= 85:
		return red
	case percent >= 60:
		return yellow
	}
	return green
}

// bar draws a share: the used part in the colours of its heights.
func (m *screen) bar(percent number, width int) string {
	if width <= 0 {
		return ""
	}
	if !percent.known() {
		return strings.Repeat(" ", width)
	}
	used := max(0, min(width, int(float64(percent)/100*float64(width)+0.5)))
	if used == 0 && percent > 0 {
		used = min(1, width)
	}
	var b strings.Builder
	for i := 0; i < used; {
		code := level(float64(i) / float64(width) * 100)
		n := 0
		for i+n < used && level(float64(i+n)/float64(width)*100) == code {
			n++
		}
		b.WriteString(m.style(code, strings.Repeat(m.glyphs.full, n)))
		i += n
	}
	b.WriteString(m.style(dim, strings.Repeat(m.glyphs.empty, width-used)))
	return b.String()
}

// spark draws the last minutes of a series up to a time, of which a full column is
// most; 0 is the maximum of what is shown. A blank is no reading.
func (m *screen) spark(t *track, end time.Time, most float64, width int) string {
	values, _ := t.columns(end.Unix(), width)
	if most == 0 {
		for _, v := range values {
			if v.known() {
				most = max(most, float64(v))
			}
		}
	}
	var b strings.Builder
	for _, v := range values {
		if !v.known() {
			b.WriteByte(' ')
			continue
		}
		i := 0
		if most > 0 {
			i = int(float64(v) / most * float64(len(m.glyphs.levels)))
		}
		b.WriteString(m.glyphs.levels[max(0, min(i, len(m.glyphs.levels)-1))])
	}
	return m.style(cyan, b.String())
}

// meters are the lines of CPU, memory, disk and network.
func (m *screen) meters(s *Snapshot, t *tracks) []string {
	value := 24
	switch {
	case m.width < 70:
		value = 19
	case m.width >= 100:
		value = 34
	}
	rest := m.width - 5 - 1 - value - 1
	bar := rest / 2
	line := func(label string, percent number, text, after string) string {
		if !percent.known() {
			text = "no reading"
		}
		return m.style(bold, m.fit(label, 5)) + m.bar(percent, bar) + " " + m.fit(text, value) + " " + after
	}
	of := func(u meter) string {
		text := percentText(u.Percent) + " %"
		if u.Used.known() && u.Total.known() {
			text += "  " + sizeText(u.Used) + "/" + sizeText(u.Total)
		}
		return text
	}
	load := ""
	if s.Load[0].known() {
		load = fmt.Sprintf("  load %.2f", float64(s.Load[0]))
		if value > 24 && s.Load[1].known() && s.Load[2].known() {
			load += fmt.Sprintf(" %.2f %.2f", float64(s.Load[1]), float64(s.Load[2]))
		}
	}
	end := s.Time
	if !m.isPast() && m.stale() > 0 {
		end = m.clock // What is missing shows as a blank.
	}
	lines := []string{line("CPU", s.CPU, percentText(s.CPU)+" %"+load, m.spark(&t.cpu, end, 100, rest-bar))}
	cores := m.cores(s)
	memory := line("Mem", s.Memory.Percent, of(s.Memory), m.spark(&t.memory, end, 100, rest-bar))
	fullest := ""
	if s.Fullest.Percent.known() {
		fullest = "fullest " + percentText(s.Fullest.Percent) + " % " + m.clean(s.Fullest.Mount)
	}
	disk := line("Disk", s.Disk.Percent, of(s.Disk), fullest)
	io := m.pair("I/O", "read", s.Read, &t.read, "write", s.Written, &t.written, end, false)
	network := m.pair("Net", "recv", s.Received, &t.received, "sent", s.Sent, &t.sent, end, true)
	if m.height < 16 { // The cores are the first to go.
		return append(lines, memory, network, io, disk)
	}
	lines = append(append(lines, cores...), memory)
	if s.Swap.Total > 0 && m.height >= 22 {
		lines = append(lines, line("Swap", s.Swap.Percent, of(s.Swap), ""))
	}
	return append(lines, disk, io, network)
}

// pair draws two rates, each with its last minutes.
func (m *screen) pair(label, one string, a number, ta *track, other string, b number, tb *track, end time.Time, decimal bool) string {
	room := m.width - 5
	half := func(name string, v number, t *track, width int) string {
		text := m.fit(name, 6) + m.fit(rateText(v, decimal), 11)
		return text + m.spark(t, end, 0, width-widthOf(text)-1) + " "
	}
	return m.style(bold, m.fit(label, 5)) + half(one, a, ta, room/2) + half(other, b, tb, room-room/2)
}

// cores draws each processor: a bar each where they fit, else a column each, the
// busiest where not even those fit.
func (m *screen) cores(s *Snapshot) []string {
	n, budget := len(s.Core), max(1, m.height/6)
	if n == 0 || m.width < 12 {
		return nil
	}
	const cell = 18
	digits := len(fmt.Sprint(n - 1))
	perLine := max(1, min(n, m.width/cell))
	if (n+perLine-1)/perLine <= budget {
		var lines []string
		for from := 0; from < n; from += perLine {
			var b strings.Builder
			for i := from; i < min(n, from+perLine); i++ {
				// What the division leaves goes to the first cells.
				width := m.width / perLine
				text := "no rd"
				if s.Core[i].Usage.known() {
					text = percentText(s.Core[i].Usage)
				}
				b.WriteString(m.style(dim, m.right(fmt.Sprint(coreNumber(s.Core[i].ID)), max(4, digits))) + " " +
					m.bar(s.Core[i].Usage, width-max(4, digits)-1-1-5-1) + " " + m.right(text, 5) + " ")
			}
			lines = append(lines, b.String())
		}
		return lines
	}
	all, note := s.Core, ""
	room := (m.width - 5) * budget
	if n > room {
		all = slices.Clone(all)
		slices.SortStableFunc(all, func(a, b core) int { return falling(a.Usage, b.Usage) })
		const noteWidth = 24
		all = all[:max(1, room-noteWidth)]
		note = fmt.Sprintf(" busiest %d of %d", len(all), n)
	}
	var lines []string
	for len(all) > 0 {
		part := all[:min(len(all), m.width-5)]
		all = all[len(part):]
		label := ""
		if len(lines) == 0 {
			label = "Core"
		}
		text := m.style(dim, m.fit(label, 5))
		for _, c := range part {
			if !c.Usage.known() {
				text += " "
				continue
			}
			i := min(len(m.glyphs.levels)-1, int(float64(c.Usage)/100*float64(len(m.glyphs.levels))))
			text += m.style(level(float64(c.Usage)), m.glyphs.levels[max(0, i)])
		}
		lines = append(lines, text)
	}
	lines[len(lines)-1] += m.style(dim, note)
	return lines
}
