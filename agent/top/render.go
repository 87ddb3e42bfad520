package top

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"sysotel/agent/alerting"
)

// Colours, as the numbers of SGR: the terminal's own sixteen, so that its theme
// stays.
const (
	bold    = "1"
	dim     = "2"
	turned  = "7"
	red     = "31"
	green   = "32"
	yellow  = "33"
	cyan    = "36"
	alarm   = "1;37;41"
	heading = "30;42"
	pastBar = "30;43"
	liveBar = "30;46"
)

// style colours clean text.
func (m *screen) style(code, text string) string {
	if m.mono {
		switch code {
		case alarm, heading, pastBar, liveBar:
			code = turned
		case red, green, yellow, cyan:
			code = ""
		}
	}
	if !m.paint || code == "" || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[m"
}

func (m *screen) fit(s string, width int) string   { return fit(s, width, m.glyphs) }
func (m *screen) right(s string, width int) string { return right(s, width, m.glyphs) }
func (m *screen) clean(s string) string            { return clean(s, m.glyphs) }

// render draws the screen: exactly height lines of width cells.
func (m *screen) render() string {
	var lines []string
	if m.help {
		lines = m.helpLines()
	} else {
		lines = append(m.header(), m.rows()...)
	}
	lines = lines[:min(len(lines), max(0, m.height-1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.bottom())
	for i, line := range lines {
		lines[i] = m.fit(line, m.width)
	}
	return strings.Join(lines[len(lines)-min(len(lines), max(1, m.height)):], "\n")
}

// header is everything above the rows, the headings of the columns last. A low
// terminal has less of it.
func (m *screen) header() []string {
	s, sparks, p := m.shown()
	lines := []string{m.title(s)}
	grey := !m.isPast() && m.stale() > 0
	if s != nil {
		meters := m.meters(s, sparks)
		if grey {
			for i := range meters {
				meters[i] = m.fade(meters[i])
			}
		}
		// The title, the headings, the bottom and three rows must fit.
		lines = append(lines, meters[:max(0, min(len(meters), m.height-6))]...)
	}
	if m.height >= 9 {
		lines = append(lines, m.alertLine(p))
	}
	if m.height >= 10 {
		lines = append(lines, m.summary(s, p))
	}
	return append(lines, m.style(heading, m.fit(m.columnHeads(), m.width)))
}

// fade takes the colours off a line, and greys it.
func (m *screen) fade(line string) string {
	for {
		before, rest, ok := strings.Cut(line, "\x1b[")
		if !ok {
			return m.style(dim, line)
		}
		_, after, _ := strings.Cut(rest, "m")
		line = before + after
	}
}

// title is the first line: the machine, the time that is shown, and whether that is
// now.
func (m *screen) title(s *Snapshot) string {
	host, at, code, state := "", "", liveBar, " LIVE "
	if s != nil {
		host = m.clean(s.Host)
		layout := "Mon 2 Jan 15:04:05 MST"
		if m.width < 70 {
			layout = "15:04:05 MST"
		}
		if m.isPast() && m.width >= 70 {
			layout = "Mon 2 Jan 2006 15:04:05 MST"
		}
		at = s.Time.In(m.zone).Format(layout)
	}
	switch {
	case m.isPast():
		code, state = pastBar, " PAST "
		if s != nil {
			state = " PAST, " + lengthText(m.newest().Sub(s.Time)) + " ago "
			if s.Resolution > 1 {
				state = fmt.Sprintf(" PAST, %s ago, means of %s ", lengthText(m.newest().Sub(s.Time)), lengthText(time.Duration(float64(s.Resolution)*float64(time.Second))))
			}
		}
	case m.stale() > 0:
		code, state = alarm, " no reading for "+lengthText(m.stale())+" "
	case s == nil:
		code, state = alarm, " no reading yet "
	}
	text := " " + strings.TrimSpace(host+"  "+at)
	if s != nil && s.Uptime.known() && m.width >= 100 {
		text += "  up " + lengthText(time.Duration(float64(s.Uptime)*float64(time.Second)))
	}
	room := m.width - widthOf(state)
	if room < 12 {
		return m.style(code, m.fit(state, m.width))
	}
	return m.style(code, m.fit(text, room)+state)
}

// alertLine says which alerts fire at the moment.
func (m *screen) alertLine(p *picture) string {
	switch {
	case p.noAlerts != nil:
		return m.style(yellow, m.fit("Alerts are not known: "+m.clean(p.noAlerts.Error()), m.width))
	case !p.asked:
		return m.style(dim, "Alerts: no reading")
	case len(p.alerts) == 0:
		return m.style(dim, "No alert fires")
	}
	parts := make([]string, 0, len(p.alerts))
	for _, a := range p.alerts {
		parts = append(parts, m.alertText(a))
	}
	count := "1 alert: "
	if n := len(parts); n > 1 {
		count = fmt.Sprintf("%d alerts: ", n)
	}
	return m.style(alarm, m.fit(" "+count+strings.Join(parts, " "+m.glyphs.dot+" "), m.width))
}

// alertText is what an alert says.
func (m *screen) alertText(a alert) string {
	text := cmp.Or(a.Summary, a.Rule)
	if a.State == alerting.NoData {
		text = "no data any more: " + text
	}
	return m.clean(text)
}

// summary is the line above the table: how many there are and what is not shown.
func (m *screen) summary(s *Snapshot, p *picture) string {
	if p.table == nil {
		return m.style(dim, "Processes: no reading")
	}
	t := p.table
	parts := []string{fmt.Sprintf("%d processes", t.Total)}
	if t.Period != nil {
		parts[0] = fmt.Sprintf("%d processes kept", t.Total)
		if len(t.Period.Tiers) > 0 && t.Period.End.Sub(t.Period.Start) > time.Second {
			parts = append(parts, "means of "+lengthText(t.Period.End.Sub(t.Period.Start)))
		}
	} else if s != nil {
		for _, state := range []struct {
			name string
			n    number
		}{{"running", s.states.running}, {"blocked", s.states.blocked}, {"zombie", s.states.zombies}} {
			if state.n > 0 {
				parts = append(parts, fmt.Sprintf("%.0f %s", float64(state.n), state.name))
			}
		}
	}
	if p.query.text != "" {
		parts = append(parts, fmt.Sprintf("filter %q: %d", m.clean(p.query.text), t.Matched))
	}
	if out := t.Others.Processes; out > 0 && float64(t.Others.CPUPercent) == float64(t.Others.CPUPercent) {
		parts = append(parts, fmt.Sprintf("%d others %s %%", out, m.share(float64(t.Others.CPUPercent), float64(t.Others.CPUPercentCore))))
	}
	if v := float64(t.Unattributed.CPUPercent); v >= 0.1 {
		parts = append(parts, fmt.Sprintf("ended between readings %s %%", m.share(v, float64(t.Unattributed.CPUPercentCore))))
	}
	if t.Hidden > 0 {
		parts = append(parts, fmt.Sprintf("%d hidden from the agent", t.Hidden))
	}
	if m.follow {
		parts = append(parts, fmt.Sprintf("following %d", m.chosen.pid))
	}
	if m.noKernel {
		parts = append(parts, "without kernel threads")
	}
	return m.style(dim, strings.Join(parts, " "+m.glyphs.dot+" "))
}

// share is CPU usage as chosen: of one processor, or of the machine.
func (m *screen) share(machine, one float64) string {
	if m.wide {
		return percentText(machine)
	}
	return percentText(one)
}

// wrap breaks a sentence into lines.
func (m *screen) wrap(text string) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && widthOf(line)+1+widthOf(word) > m.width-2 {
			lines, line = append(lines, line), ""
		}
		if line == "" {
			line = "  " + word
		} else {
			line += " " + word
		}
	}
	return append(lines, line)
}

// bottom is the last line: what is typed, a message, or the keys.
func (m *screen) bottom() string {
	switch m.prompt {
	case promptFilter:
		return m.style(bold, "filter: ") + m.typed + m.style(turned, " ") + m.style(dim, "  Enter keeps it, Esc ends it")
	case promptTime:
		return m.style(bold, "go to: ") + m.typed + m.style(turned, " ") + m.style(dim, "  03:00, 2026-11-29 03:00, -15m, now")
	case promptSort:
		parts := make([]string, 0, len(orders))
		for _, o := range orders {
			parts = append(parts, o.key+" "+o.name)
		}
		return m.style(bold, "sort by: ") + strings.Join(parts, "  ")
	case promptNone:
	}
	if m.help {
		return m.style(dim, "Up Down scroll, any other key ends the help")
	}
	if m.message != "" {
		code := ""
		if m.wrong {
			code = yellow
		}
		return m.style(code, m.fit(m.message, m.width))
	}
	if s, _, _ := m.shown(); m.isPast() {
		switch {
		case s == nil || !s.Time.Equal(m.moment):
			return m.style(dim, "reading "+m.moment.In(m.zone).Format("15:04:05")+m.glyphs.ellipsis)
		case s.empty():
			return m.style(yellow, m.fit("no reading at this time: / and b jump to events, n is now", m.width))
		}
	} else if m.lost != nil {
		return m.style(yellow, m.fit(m.clean(m.lost.Error()), m.width))
	}
	return m.keyHints()
}

// keyHints are the keys to know, as many as fit.
func (m *screen) keyHints() string {
	line, width := "", 0
	for _, hint := range [][2]string{
		{"?", "help"}, {"q", "quit"}, {"\\", "filter"}, {"F6", "sort"}, {"t", "tree"}, {"F", "follow"},
		{"Left Right", "time"}, {"g", "go to"}, {"/", "event"}, {"n", "now"},
	} {
		next := widthOf(hint[0]) + 1 + widthOf(hint[1]) + 2
		if width += next; width > m.width {
			break
		}
		line += m.style(bold, hint[0]) + " " + m.style(dim, hint[1]) + "  "
	}
	return line
}

// helpLines are the lines of the help that are in sight.
func (m *screen) helpLines() []string {
	var all []string
	for _, k := range keys() {
		switch {
		case k.do == nil && len(k.names) == 0:
			if len(all) > 0 {
				all = append(all, "")
			}
			all = append(all, m.style(bold, k.shown)+m.style(dim, "  "+k.meaning))
		default:
			all = append(all, "  "+m.style(cyan, m.fit(k.shown, 12))+k.meaning)
		}
	}
	all = append(all, helpFooter...)
	m.helpRow = max(0, min(m.helpRow, len(all)-(m.height-1)))
	return all[m.helpRow:]
}

// describe is an event in a sentence.
func describe(e *happening, zone *time.Location, g glyphs) string {
	parts := []string{e.Time.In(zone).Format(time.TimeOnly), strings.ReplaceAll(string(e.Kind), "_", " ")}
	for _, text := range []string{e.Subject, e.Cause} {
		if text != "" {
			parts = append(parts, clean(text, g))
		}
	}
	if e.From != nil && e.To != nil {
		parts = append(parts, "of "+lengthText(e.To.Sub(*e.From)))
	}
	if e.more > 0 {
		parts = append(parts, fmt.Sprintf("(and %d more in this second)", e.more))
	}
	return strings.Join(parts, "  ")
}
