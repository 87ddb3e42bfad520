package top

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sysotel/api"
)

// screen is all that is shown, and what the keys change. It knows no terminal:
// program hands it messages and draws what render returns.
type screen struct {
	width, height int
	glyphs        glyphs
	paint         bool // Whether there are styles.
	mono          bool // Whether those are without colours, as NO_COLOR asks.
	zone          *time.Location

	// The present: the newest reading, when it came by our own clock, and its
	// interval; the processes and alerts of it.
	current  *Snapshot
	arrived  time.Time
	interval time.Duration
	clock    time.Time // Our own clock.
	lost     error     // Why no readings come.
	tracks   *tracks
	live     picture

	// The past: the moment wanted, zero for the present, and what is shown of it.
	moment time.Time
	past   *Snapshot
	window *window
	trail  *tracks
	then   picture

	// The table.
	order                  int
	reverse, tree, follow  bool
	noKernel, wide, byName bool // wide: CPU % of the machine; byName: program and command line.
	folded                 map[int]bool
	text                   string
	lines                  []row
	cursor, offset         int
	deep, toEnd            bool // End was pressed: all rows are wanted, and then the last.
	chosen                 identity

	prompt  prompt
	typed   string
	help    bool
	helpRow int
	message string
	wrong   bool // Whether the message is an error.
}

// picture is a process table with what it was asked by, and the alerts.
type picture struct {
	table  *api.Processes
	query  tableQuery
	failed error

	alerts   []alert
	noAlerts error // Why they are not known.
	asked    bool  // Whether alerts are known.
}

// identity is a process: its number can be used again.
type identity struct {
	pid     int
	started time.Time
}

func identityOf(p *api.ProcessRow) identity {
	id := identity{pid: p.PID}
	if p.Started != nil {
		id.started = *p.Started
	}
	return id
}

// action is what a key asks the program to do.
type action struct {
	quit, suspend, redraw bool
	event                 int // 1 the next event, -1 the one before.
}

// prompt is what the bottom line asks for.
type prompt int

const (
	promptNone prompt = iota
	promptFilter
	promptTime
	promptSort
)

// maxTyped bounds what is typed; the API takes 100 characters.
const maxTyped = 64

func newScreen(unicode, paint bool, zone *time.Location) *screen {
	return &screen{
		width: 80, height: 24, glyphs: glyphsFor(unicode), paint: paint, zone: zone,
		tracks: new(tracks), trail: new(tracks), folded: map[int]bool{}, interval: time.Second,
	}
}

// isPast reports whether a past moment is wanted.
func (m *screen) isPast() bool { return !m.moment.IsZero() }

// shown is the snapshot, its sparklines and its picture; the snapshot is nil before
// the first one.
func (m *screen) shown() (*Snapshot, *tracks, *picture) {
	if m.isPast() {
		return m.past, m.trail, &m.then
	}
	return m.current, m.tracks, &m.live
}

// newest is the time of the newest reading, or of the clock.
func (m *screen) newest() time.Time {
	if m.current != nil {
		return m.current.Time
	}
	return m.clock
}

// query is the table that the screen needs.
func (m *screen) query() tableQuery {
	by := orders[m.order]
	q := tableQuery{at: m.moment, order: cmp.Or(by.api, "cpu"), text: m.text, rows: maxRows}
	if !m.deep && !m.tree && !m.follow && !m.reverse && !m.noKernel && by.api != "" {
		const block = 10
		need := max(m.cursor, m.offset) + m.height + m.height/4
		q.rows = min(maxRows, (need+block-1)/block*block)
	}
	return q
}

// read takes a reading of the present.
func (m *screen) read(s *Snapshot, interval time.Duration, now time.Time) {
	m.current, m.arrived, m.clock, m.lost = s, now, now, nil
	if interval > 0 {
		m.interval = interval
	}
	m.tracks.add(s, m.interval)
}

// stale is for how long there has been no reading, 0 if the newest one is fresh.
func (m *screen) stale() time.Duration {
	age := m.clock.Sub(m.arrived)
	if m.arrived.IsZero() || age < 5*m.interval/2+time.Second {
		return 0
	}
	return age.Truncate(time.Second)
}

// showTable takes a process table, or why there is none.
func (m *screen) showTable(q tableQuery, table *api.Processes, err error) {
	_, _, p := m.shown()
	p.query, p.table, p.failed = q, table, err
	m.arrange()
}

// showPast takes a window of the history and the snapshot of a moment in it.
func (m *screen) showPast(at time.Time, w *window) {
	m.window, m.past, m.trail = w, w.at(at), w.tracks()
	m.then.alerts, m.then.asked, m.then.noAlerts = m.past.Alerts, m.past.Alerts != nil, nil
}

// join puts the history before the readings that came meanwhile.
func (m *screen) join(w *window) {
	old, since := w.tracks(), m.tracks
	for _, pair := range [][2]*track{
		{&old.cpu, &since.cpu}, {&old.memory, &since.memory}, {&old.read, &since.read},
		{&old.written, &since.written}, {&old.received, &since.received}, {&old.sent, &since.sent},
	} {
		pair[0].merge(pair[1])
	}
	m.tracks = old
}

// arrange makes the lines of the table anew and keeps the chosen process or line.
func (m *screen) arrange() {
	_, _, p := m.shown()
	m.lines = nil
	if p.table != nil {
		m.lines = list(p.table.Processes, orders[m.order], m.reverse)
		if m.noKernel {
			m.lines = slices.DeleteFunc(m.lines, func(r row) bool { return r.Kernel })
		}
		if m.tree && m.text == "" && !m.isPast() {
			m.lines = forest(m.lines, m.folded, m.glyphs)
		}
	}
	if m.follow {
		i := slices.IndexFunc(m.lines, func(r row) bool { return identityOf(r.ProcessRow) == m.chosen })
		switch {
		case i >= 0:
			m.cursor = i
		case p.table != nil && p.query.rows == maxRows && !m.isPast():
			m.follow = false
			m.say(fmt.Sprintf("process %d has ended", m.chosen.pid), true)
		}
	}
	if m.toEnd && p.table != nil && p.query.rows == maxRows {
		m.cursor, m.toEnd = len(m.lines)-1, false
	}
	m.clamp()
}

// page is how many lines of processes fit.
func (m *screen) page() int { return max(1, m.height-len(m.header())-1) }

// clamp keeps the cursor on a line, and the line in sight.
func (m *screen) clamp() {
	page := m.page()
	m.cursor = max(0, min(m.cursor, len(m.lines)-1))
	m.offset = max(0, min(m.offset, m.cursor, len(m.lines)-page))
	if m.cursor >= m.offset+page {
		m.offset = m.cursor - page + 1
	}
	if !m.follow && m.cursor < len(m.lines) {
		m.chosen = identityOf(m.lines[m.cursor].ProcessRow)
	}
}

// say shows a message until the next key.
func (m *screen) say(text string, wrong bool) { m.message, m.wrong = text, wrong }

// press handles a key by its name; text is what it types.
func (m *screen) press(name, text string, table map[string]func(*screen) action) action {
	m.say("", false)
	switch {
	case m.prompt != promptNone:
		return m.typeKey(name, text)
	case m.help:
		return m.pressHelp(name)
	}
	do := table[name]
	if do == nil {
		return action{}
	}
	return do(m)
}

// pressHelp scrolls the help, and closes it by any other key.
func (m *screen) pressHelp(name string) action {
	switch name {
	case "down", "j", "pgdown", "space":
		m.helpRow++
	case "up", "k", "pgup":
		m.helpRow = max(0, m.helpRow-1)
	case "ctrl+c":
		return action{quit: true}
	default:
		m.help = false
	}
	return action{}
}

// typeKey handles a key while the bottom line asks for something.
func (m *screen) typeKey(name, text string) action {
	switch {
	case name == "ctrl+c":
		return action{quit: true}
	case name == "esc":
		if m.prompt == promptFilter {
			m.filter("")
		}
		m.prompt, m.typed = promptNone, ""
	case m.prompt == promptSort:
		m.prompt = promptNone
		for i, o := range orders {
			if o.key == name {
				return m.sortBy(i)
			}
		}
		m.say("no column has the key "+clean(name, m.glyphs), true)
	case name == "enter":
		return m.accept()
	case name == "backspace":
		if r := []rune(m.typed); len(r) > 0 {
			m.typed = string(r[:len(r)-1])
		}
	case name == "ctrl+u":
		m.typed = ""
	default:
		if r := []rune(m.typed + clean(text, m.glyphs)); len(r) <= maxTyped {
			m.typed = string(r)
		}
	}
	if m.prompt == promptFilter {
		m.filter(m.typed)
	}
	return action{}
}

// accept takes what was typed.
func (m *screen) accept() action {
	asked, text := m.prompt, m.typed
	m.prompt, m.typed = promptNone, ""
	if asked == promptFilter {
		return m.filter(text)
	}
	if text == "" || text == "now" {
		return m.now()
	}
	t, err := ParseMoment(text, m.newest().In(m.zone))
	if err != nil {
		m.say(clean(err.Error(), m.glyphs), true)
		return action{}
	}
	return m.goTo(t)
}

func (m *screen) ask(p prompt) action {
	m.prompt, m.typed = p, ""
	if p == promptFilter {
		m.typed = m.text
	}
	return action{}
}

// goTo shows a past moment, or the present if it is not yet past.
func (m *screen) goTo(t time.Time) action {
	if !t.Before(m.newest().Truncate(time.Second)) {
		return m.now()
	}
	if !m.isPast() {
		m.past, m.then = nil, picture{}
	}
	m.moment = t
	return action{}
}

// step moves so many seconds, single steps by the resolution of what is shown.
func (m *screen) step(seconds int) action {
	size, from := time.Second, m.moment
	if !m.isPast() {
		if seconds > 0 {
			m.say("this is now; Left goes into the past", false)
			return action{}
		}
		from = m.newest().Truncate(time.Second)
	} else if m.window != nil && (seconds == 1 || seconds == -1) {
		size = max(size, m.window.step)
	}
	return m.goTo(from.Add(time.Duration(seconds) * size))
}

// now returns to the present.
func (m *screen) now() action {
	m.moment, m.past, m.window, m.then = time.Time{}, nil, nil, picture{}
	m.arrange()
	return action{}
}

// jump asks for an event.
func (m *screen) jump(next bool) action {
	if next && m.isPast() {
		return action{event: 1}
	}
	return action{event: -1}
}

// event goes to an event, or says why not.
func (m *screen) event(e *happening, err error) {
	if err != nil {
		m.say(clean(err.Error(), m.glyphs), true)
		return
	}
	m.goTo(e.Time.Truncate(time.Second))
	m.say(describe(e, m.zone, m.glyphs), false)
}

func (m *screen) filter(text string) action {
	m.text = text
	m.cursor, m.offset = 0, 0
	return action{}
}

func (m *screen) toggleTree() action {
	m.tree = !m.tree
	switch {
	case m.tree && m.isPast():
		m.say("the past has no tree: it does not keep parents", true)
	case m.tree && m.text != "":
		m.say("the tree is shown without a filter", false)
	}
	m.arrange()
	return action{}
}

// fold folds or unfolds the chosen process.
func (m *screen) fold() action {
	if m.cursor < len(m.lines) && m.tree {
		pid := m.lines[m.cursor].PID
		if m.folded[pid] {
			delete(m.folded, pid)
		} else {
			m.folded[pid] = true
		}
		m.arrange()
	}
	return action{}
}

func (m *screen) toggleFollow() action {
	m.follow = !m.follow && m.cursor < len(m.lines)
	if m.follow {
		m.chosen = identityOf(m.lines[m.cursor].ProcessRow)
	}
	return action{}
}

func (m *screen) sortBy(i int) action {
	m.order = i % len(orders)
	m.arrange()
	return action{}
}

func (m *screen) toggleReverse() action {
	m.reverse = !m.reverse
	m.arrange()
	return action{}
}

func (m *screen) toggleKernel() action {
	m.noKernel = !m.noKernel
	m.arrange()
	return action{}
}

func (m *screen) toggleShare() action {
	m.wide = !m.wide
	return action{}
}

func (m *screen) toggleProgram() action {
	m.byName = !m.byName
	return action{}
}

func (m *screen) toggleHelp() action {
	m.help, m.helpRow = true, 0
	return action{}
}

// move moves the cursor; it ends following.
func (m *screen) move(by int) action {
	m.follow = false
	if by == -maxRows || by == maxRows {
		m.deep, m.toEnd = by > 0, by > 0
	}
	m.cursor += by
	m.clamp()
	return action{}
}
