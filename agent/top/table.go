package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"sysotel/api"
)

// column is a column of the table. The name is the last one and takes what is left.
type column struct {
	title string
	order string // The order that marks it.
	width int    // Negative is aligned to the left.
	// rank says which go first where the terminal is narrow: the highest.
	rank int
	text func(*screen, *api.ProcessRow) string
}

// columns are all columns but the name, from the left.
var columns = []column{
	{"PID", "pid", 7, 0, func(_ *screen, p *api.ProcessRow) string { return fmt.Sprint(p.PID) }},
	{"USER", "user", -9, 4, func(m *screen, p *api.ProcessRow) string { return cmp.Or(m.clean(p.User), none) }},
	{"S", "", -1, 3, func(m *screen, p *api.ProcessRow) string { return stateLetter(p.Status) }},
	{"THR", "threads", 4, 7, func(_ *screen, p *api.ProcessRow) string { return fmt.Sprint(p.NumThreads) }},
	{"STARTED", "started", 12, 9, func(m *screen, p *api.ProcessRow) string { return m.started(p.Started) }},
	{"TIME+", "time", 9, 8, func(_ *screen, p *api.ProcessRow) string { return cpuTime(p.CPUSeconds) }},
	{"READ/s", "io", 7, 5, func(_ *screen, p *api.ProcessRow) string { return sizeText(p.ReadBytesPerSec) }},
	{"WRITE/s", "io", 7, 5, func(_ *screen, p *api.ProcessRow) string { return sizeText(p.WriteBytesPerSec) }},
	{"RSS", "memory", 6, 2, func(_ *screen, p *api.ProcessRow) string { return sizeText(p.MemoryRSS) }},
	{"MEM%", "memory", 5, 1, func(_ *screen, p *api.ProcessRow) string { return percentText(p.MemoryPercent) }},
	{"CPU%", "cpu", 6, 0, func(m *screen, p *api.ProcessRow) string {
		return m.share(float64(p.CPUPercent), float64(p.CPUPercentCore))
	}},
}

// minName is the width that the name keeps while there are columns to leave out.
const minName = 14

// chosenColumns are those that fit beside the name, and the width of that.
func (m *screen) chosenColumns() (fitting []column, name int) {
	fitting = slices.Clone(columns)
	for {
		name = m.width
		for _, c := range fitting {
			name -= max(c.width, -c.width) + 1
		}
		rank := slices.MaxFunc(fitting, func(a, b column) int { return a.rank - b.rank }).rank
		if name >= min(m.width, minName+m.width/8) || rank == 0 {
			return fitting, max(0, name)
		}
		fitting = slices.DeleteFunc(fitting, func(c column) bool { return c.rank == rank })
	}
}

// align puts a text into a column.
func (m *screen) align(text string, c column) string {
	if c.width < 0 {
		return m.fit(text, -c.width) + " "
	}
	return m.right(text, c.width) + " "
}

// columnHeads is the line of headings; an arrow marks the order.
func (m *screen) columnHeads() string {
	var b strings.Builder
	by := orders[m.order].name
	mark := m.glyphs.down
	if m.reverse {
		mark = m.glyphs.up
	}
	marked := false
	fitting, _ := m.chosenColumns()
	for _, c := range fitting {
		title := c.title
		if c.order == by && !marked {
			marked = true
			title = m.fit(title, max(c.width, -c.width)-1)
			title = strings.TrimRight(title, " ") + mark
		}
		b.WriteString(m.align(title, c))
	}
	title := "NAME"
	if m.byName {
		title = "COMMAND"
	}
	if by == "name" {
		title += mark
		marked = true
	}
	if !marked {
		title += "  (by " + by + mark + ")"
	}
	return b.String() + title
}

// stateLetter is the state of a process as ps writes it.
func stateLetter(status string) string {
	letters := map[string]string{
		"running": "R", "sleeping": "S", "idle": "I", "blocked": "D", "stopped": "T", "zombie": "Z", "": none,
	}
	return cmp.Or(letters[status], "?")
}

// started is when a process started: the time of today, or the day.
func (m *screen) started(t *time.Time) string {
	if t == nil {
		return none
	}
	local, now := t.In(m.zone), m.newest().In(m.zone)
	if local.YearDay() == now.YearDay() && local.Year() == now.Year() {
		return local.Format(time.TimeOnly)
	}
	if local.Year() == now.Year() {
		return local.Format("02 Jan 15:04")
	}
	return local.Format(time.DateOnly)
}

// rows are the lines of processes in sight, or why there are none.
func (m *screen) rows() []string {
	s, _, p := m.shown()
	if p.table == nil || len(m.lines) == 0 {
		return m.noRows(s, p)
	}
	fitting, name := m.chosenColumns()
	page := m.page()
	out := make([]string, 0, page)
	for i := m.offset; i < min(len(m.lines), m.offset+page); i++ {
		line := m.row(m.lines[i], fitting, name)
		switch {
		case i == m.cursor:
			line = m.style(turned, line)
		case m.lines[i].Status == "zombie" || m.lines[i].Status == "blocked":
			line = m.style(red, line)
		case m.lines[i].Kernel:
			line = m.style(dim, line)
		case float64(m.lines[i].CPUPercentCore) >= 50:
			line = m.style(bold, line)
		}
		out = append(out, line)
	}
	return out
}

// row is the line of one process, of exactly the width of the screen.
func (m *screen) row(r row, fitting []column, name int) string {
	var b strings.Builder
	for _, c := range fitting {
		b.WriteString(m.align(c.text(m, r.ProcessRow), c))
	}
	return b.String() + m.fit(r.branch+m.nameOf(r), name)
}

// nameOf is what the last column shows of a process.
func (m *screen) nameOf(r row) string {
	text := r.Name
	if m.byName {
		text = cmp.Or(r.CommandLine, r.Program, r.Name)
	}
	text = m.clean(text)
	if r.folded > 0 {
		text = fmt.Sprintf("%s [+%d]", text, r.folded)
	}
	return text
}

// noRows says why the table is empty.
func (m *screen) noRows(s *Snapshot, p *picture) []string {
	text := "no reading of the processes yet"
	switch {
	case p.failed != nil:
		text = "no reading of the processes: " + p.failed.Error()
	case p.table != nil && p.query.text != "":
		text = fmt.Sprintf("no process has %q in its name, program or user; Esc ends the filter", p.query.text)
	case p.table != nil:
		text = "no process to show"
	case s == nil && m.lost != nil:
		text = m.lost.Error()
	}
	return append([]string{""}, m.wrap("  "+m.clean(text))...)
}
