// Package top shows a machine in a terminal: meters, alerts and processes, now and
// at any moment that its agent keeps. It asks the REST API of an agent, here or
// elsewhere, and measures nothing itself; it changes nothing and sends no signals.
//
// source.go asks the agent. screen.go holds what is shown and what keys change, and
// render.go makes exactly as many lines and cells as there are of it; both know no
// terminal and are tested with fixed data. This file runs them on one, and canvas.go
// writes what changed. To add a
// key, add an entry to keys in keys.go; to add a column, one to columns in
// table.go.
package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"sysotel/api"
)

// Options are what top is started with.
type Options struct {
	Agent *Agent
	// At is a past moment to begin with, zero for the present.
	At time.Time
	// Sort is one of Orders.
	Sort string
	// Rows is how many processes Once and JSON print, at most 1,000.
	Rows int
	// Unicode is whether the terminal shows more than ASCII, Zone the time zone
	// of its user, Env its environment.
	Unicode bool
	Zone    *time.Location
	Env     []string
}

// garbagePercent is the GOGC of a program that shows a screen: with that of the agent
// collections would be half of its work, and it needs no more than 20 MB for it.
const garbagePercent = 400

// Run shows the machine on a terminal until a key, the end of stop or a value of
// hangUp, which is sent when the terminal is closed. It leaves the terminal as it
// was.
func Run(stop context.Context, hangUp <-chan os.Signal, in io.Reader, out *os.File, o Options) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	ctx, cancel := context.WithCancel(stop)
	defer cancel()
	var early *refusal
	if _, err := o.Agent.current(ctx); err != nil && !(errors.As(err, &early) && early.status == http.StatusServiceUnavailable) {
		return err // Else it has no reading yet.
	}
	m := newScreen(o.Unicode, true, o.Zone)
	m.mono = slices.ContainsFunc(o.Env, func(v string) bool { return strings.HasPrefix(v, "NO_COLOR=") && v != "NO_COLOR=" })
	m.order = max(0, orderNamed(o.Sort))
	m.clock, m.moment = time.Now(), o.At
	p := &program{ctx: ctx, agent: o.Agent, screen: m, keys: bindings(), canvas: &canvas{out: out}}
	if err := p.canvas.enter(); err != nil {
		return err
	}
	defer func() { _ = p.canvas.leave() }() // The terminal may be gone.
	// The library's renderer has nothing to do; a frame is a second.
	terminal := tea.NewProgram(p, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(quiet{out}),
		tea.WithEnvironment(o.Env), tea.WithFPS(1), tea.WithoutSignalHandler())
	ended := make(chan struct{})
	defer func() { <-ended }()
	go func() {
		defer close(ended)
		o.Agent.follow(ctx, func(c *api.Current) { terminal.Send(c) }, func(err error) { terminal.Send(lostMessage{err}) })
	}()
	go func() {
		select {
		case <-hangUp:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, err := terminal.Run()
	cancel()
	if errors.Is(err, tea.ErrProgramKilled) {
		return nil // We ended it.
	}
	return err
}

// Messages to the program. A reading is an *api.Current.
type (
	lostMessage    struct{ err error }
	clockMessage   time.Time
	historyMessage struct {
		w   *window
		err error
	}
	tableMessage struct {
		query tableQuery
		table *api.Processes
		err   error
	}
	alertsMessage struct {
		alerts []alert
		err    error
	}
	pastMessage struct {
		tableMessage
		w    *window
		fail error
	}
	eventMessage struct {
		found *happening
		err   error
	}
)

// program is a screen on a terminal.
type program struct {
	ctx    context.Context
	agent  *Agent
	screen *screen
	keys   map[string]func(*screen) action

	canvas *canvas
	// dirty is whether what is drawn is out of date.
	dirty bool
	// Requests on their way; there is one of each kind at most.
	asksTable, asksPast, asksEvent, asksAlerts, asksHistory bool
	// newer is whether there was a reading after the table was asked for.
	newer      bool
	hasHistory bool
	// asked is when alerts were asked for.
	asked time.Time
}

var _ tea.Model = (*program)(nil)

// alertsEvery is how often alerts are asked for; rules are evaluated every 15 s.
const alertsEvery = 5 * time.Second

// tick sends the time each second, by which missing readings are seen.
func tick() tea.Cmd {
	return tea.Tick(time.Second, func(t time.Time) tea.Msg { return clockMessage(t) })
}

// Init implements tea.Model.
func (p *program) Init() tea.Cmd { return tea.Batch(tick(), p.requests()) }

// View implements tea.Model; the canvas draws.
func (p *program) View() tea.View { return tea.View{} }

// Update implements tea.Model.
func (p *program) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	cmd := p.take(message)
	if p.dirty {
		p.dirty = false
		if p.canvas.draw(p.screen.render()) != nil {
			return p, tea.Quit // The terminal is gone.
		}
	}
	return p, cmd
}

// take handles a message.
func (p *program) take(message tea.Msg) tea.Cmd {
	m := p.screen
	p.dirty = true
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = message.Width, message.Height
		m.clamp()
		p.canvas.forget()
	case tea.ResumeMsg:
		if p.canvas.enter() != nil {
			return tea.Quit
		}
	case tea.KeyPressMsg:
		if cmd := p.act(m.press(message.String(), message.Text, p.keys)); cmd != nil {
			return cmd
		}
	case tea.PasteMsg:
		if m.prompt != promptNone {
			m.press("paste", message.Content, p.keys)
		}
	case clockMessage:
		before := m.stale()
		m.clock = time.Time(message)
		p.dirty = m.stale() != before
		return tea.Batch(tick(), p.requests())
	case *api.Current:
		m.read(fromCurrent(message), time.Duration(float64(message.IntervalSeconds)*float64(time.Second)), time.Now())
		p.newer = true
		// It is drawn with its processes, unless those take more than a tick.
		p.dirty = !m.isPast() && p.asksTable
	case lostMessage:
		m.lost = message.err
	case historyMessage:
		p.asksHistory, p.hasHistory = false, message.err == nil
		if message.err == nil {
			m.join(message.w)
		}
	case tableMessage:
		p.asksTable = false
		if !m.isPast() {
			m.showTable(message.query, message.table, message.err)
		}
	case alertsMessage:
		p.asksAlerts = false
		m.live.alerts, m.live.noAlerts, m.live.asked = message.alerts, message.err, true
	case pastMessage:
		p.asksPast = false
		if m.isPast() {
			p.showPast(message)
		}
	case eventMessage:
		p.asksEvent = false
		m.event(message.found, message.err)
	default:
		p.dirty = false
	}
	return p.requests()
}

// showPast shows a moment, or why it cannot be.
func (p *program) showPast(message pastMessage) {
	m := p.screen
	if message.fail != nil {
		m.say(m.clean(message.fail.Error()), true)
		if message.w == nil {
			message.w = &window{step: time.Second}
			if m.current != nil {
				message.w.host = m.current.Host
			}
		}
	}
	m.showPast(message.query.at, message.w)
	m.showTable(message.query, message.table, message.err)
}

// act does what a key asks for beside changing the screen.
func (p *program) act(a action) tea.Cmd {
	switch {
	case a.quit:
		return tea.Quit
	case a.suspend:
		p.dirty = false
		if p.canvas.leave() != nil {
			return tea.Quit
		}
		return tea.Suspend
	case a.redraw:
		p.canvas.forget()
	case a.event != 0 && !p.asksEvent:
		p.asksEvent = true
		return p.askEvent(a.event > 0)
	}
	return nil
}

// askEvent asks for the next event, or the one before.
func (p *program) askEvent(next bool) tea.Cmd {
	at, now := p.screen.moment, p.screen.newest()
	return func() tea.Msg {
		var found *happening
		var err error
		switch {
		case next:
			if found, err = p.agent.after(p.ctx, at.Add(time.Second), now); errors.Is(err, errNoEvent) {
				err = errors.New("there is no event after this moment; n returns to now")
			}
		case at.IsZero():
			at = now.Add(time.Second)
			fallthrough
		default:
			if found, err = p.agent.before(p.ctx, at); errors.Is(err, errNoEvent) {
				err = errors.New("there is no event before this moment")
			}
		}
		return eventMessage{found, err}
	}
}

// requests starts what the screen needs and is not on its way.
func (p *program) requests() tea.Cmd {
	m := p.screen
	var cmds []tea.Cmd
	want := m.query()
	if m.isPast() {
		if !p.asksPast && (m.past == nil || want != m.then.query) {
			p.asksPast = true
			cmds = append(cmds, p.askPast(want, m.window))
		}
	} else if !p.asksTable && (p.newer || want != m.live.query) && (m.current != nil || m.lost == nil) {
		p.asksTable, p.newer = true, false
		cmds = append(cmds, func() tea.Msg {
			table, err := p.agent.processes(p.ctx, want)
			return tableMessage{want, table, err}
		})
	}
	if m.current == nil {
		return tea.Batch(cmds...)
	}
	if !p.asksAlerts && m.clock.Sub(p.asked) >= alertsEvery {
		p.asksAlerts, p.asked = true, m.clock
		cmds = append(cmds, func() tea.Msg {
			alerts, err := p.agent.alerts(p.ctx)
			return alertsMessage{alerts, err}
		})
	}
	if !p.hasHistory && !p.asksHistory {
		p.asksHistory, p.hasHistory = true, true // Once; without it the sparklines grow from now on.
		at, step := m.current.Time, m.interval
		cmds = append(cmds, func() tea.Msg {
			w, err := p.agent.recent(p.ctx, at, step)
			return historyMessage{w, err}
		})
	}
	return tea.Batch(cmds...)
}

// askPast asks for a moment: its processes, and a window of the history unless the
// one at hand holds it.
func (p *program) askPast(want tableQuery, have *window) tea.Cmd {
	return func() tea.Msg {
		answer := pastMessage{tableMessage: tableMessage{query: want}, w: have}
		if !have.holds(want.at) {
			answer.w, answer.fail = p.agent.window(p.ctx, want.at, time.Second)
		}
		answer.table, answer.err = p.agent.processes(p.ctx, want)
		return answer
	}
}

// Once prints the machine once, as plain text that is not cut.
func Once(ctx context.Context, out io.Writer, o Options) error {
	m, err := load(ctx, o)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, m.plain(o.Rows))
	return err
}

// JSON prints the machine once, as one JSON document.
func JSON(ctx context.Context, out io.Writer, o Options) error {
	m, err := load(ctx, o)
	if err != nil {
		return err
	}
	s, _, p := m.shown()
	s.Alerts, s.Processes = p.alerts, p.table
	for name, reason := range map[string]error{"alerts": p.noAlerts, "processes": p.failed} {
		if reason != nil {
			s.Missing = append(s.Missing, name+": "+reason.Error())
		}
	}
	if !p.asked {
		s.Missing = append(s.Missing, "alerts: there is no reading of that time")
	}
	slices.Sort(s.Missing)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// load asks for one moment.
func load(ctx context.Context, o Options) (*screen, error) {
	m := newScreen(o.Unicode, false, o.Zone)
	m.order = max(0, orderNamed(o.Sort))
	m.clock, m.moment = time.Now(), o.At
	want := tableQuery{at: o.At, rows: min(max(o.Rows, 1), maxRows), order: orders[m.order].api}
	if want.order == "" {
		want.order, want.rows = "cpu", maxRows
	}
	if m.isPast() {
		w, err := o.Agent.window(ctx, o.At, time.Second)
		if err != nil {
			return nil, err
		}
		m.showPast(o.At, w)
	} else {
		c, err := o.Agent.current(ctx)
		if err != nil {
			return nil, err
		}
		m.read(fromCurrent(c), time.Duration(float64(c.IntervalSeconds)*float64(time.Second)), m.clock)
		m.live.alerts, m.live.noAlerts = o.Agent.alerts(ctx)
		m.live.asked = true
	}
	table, err := o.Agent.processes(ctx, want)
	m.showTable(want, table, err)
	return m, nil
}

// plain is the screen as plain text: the meters without drawings, then the table
// with whole names.
func (m *screen) plain(rows int) string {
	const width = 120
	m.width = width
	s, _, p := m.shown()
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s", m.clean(s.Host), s.Time.In(m.zone).Format("2006-01-02 15:04:05 MST"))
	if s.Resolution > 1 && s.Past {
		fmt.Fprintf(&b, "  means of %s", lengthText(time.Duration(float64(s.Resolution)*float64(time.Second))))
	}
	if s.empty() {
		b.WriteString("  no reading")
	}
	reading := func(n number) string {
		if !n.known() {
			return "no reading"
		}
		return percentText(n) + " %"
	}
	fmt.Fprintf(&b, "\nCPU %s of %d processors  memory %s  swap %s  disk %s\n", reading(s.CPU), len(s.Core), reading(s.Memory.Percent), swapText(s.Swap), reading(s.Disk.Percent))
	fmt.Fprintf(&b, "disk read %s  write %s  network received %s  sent %s\n", rateText(s.Read, false), rateText(s.Written, false), rateText(s.Received, true), rateText(s.Sent, true))
	if len(p.alerts) == 0 {
		b.WriteString(strings.TrimSpace(m.alertLine(p)) + "\n")
	}
	for _, a := range p.alerts {
		fmt.Fprintf(&b, "ALERT %s: %s\n", m.clean(a.Rule), m.alertText(a))
	}
	b.WriteString(m.summary(s, p) + "\n")
	if p.table == nil || len(m.lines) == 0 {
		for _, line := range m.noRows(s, p)[1:] {
			b.WriteString(strings.TrimSpace(line) + "\n")
		}
		return b.String()
	}
	b.WriteString(m.columnHeads() + "\n")
	fitting, _ := m.chosenColumns()
	for _, r := range m.lines[:min(rows, len(m.lines))] {
		for _, c := range fitting {
			b.WriteString(m.align(c.text(m, r.ProcessRow), c))
		}
		b.WriteString(m.nameOf(r) + "\n")
	}
	return b.String()
}

// swapText is the used share of the swap space, if there is one.
func swapText(s meter) string {
	switch {
	case s.Total == 0:
		return "none"
	case !s.Percent.known():
		return "no reading"
	}
	return percentText(s.Percent) + " %"
}
