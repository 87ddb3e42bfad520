package top

// key is one thing that keys do.
type key struct {
	// names are the keys, as the terminal library calls them.
	names []string
	// shown and meaning are its line in the help.
	shown, meaning string
	do             func(*screen) action
}

// keys lists what the keys do, in the order of the help. A function without a
// name in the list is a heading.
func keys() []key {
	return []key{
		{shown: "TIME", meaning: "the past as this agent kept it"},
		{[]string{"left"}, "Left", "one second back (one step of the history where it is coarser)", func(m *screen) action { return m.step(-1) }},
		{[]string{"right"}, "Right", "one second on; behind the newest reading it is now again", func(m *screen) action { return m.step(1) }},
		{[]string{"[", "shift+left"}, "[", "one minute back", func(m *screen) action { return m.step(-60) }},
		{[]string{"]", "shift+right"}, "]", "one minute on", func(m *screen) action { return m.step(60) }},
		{[]string{"{", "ctrl+left"}, "{", "one hour back", func(m *screen) action { return m.step(-3600) }},
		{[]string{"}", "ctrl+right"}, "}", "one hour on", func(m *screen) action { return m.step(3600) }},
		{[]string{"g"}, "g", "go to a time: 03:00, 2026-11-29 03:00, -15m", func(m *screen) action { return m.ask(promptTime) }},
		{[]string{"/"}, "/", "jump to the next event; from now, to the newest", func(m *screen) action { return m.jump(true) }},
		{[]string{"b"}, "b", "jump to the event before", func(m *screen) action { return m.jump(false) }},
		{[]string{"n", "backspace"}, "n", "now: follow the readings again", func(m *screen) action { return m.now() }},

		{shown: "PROCESSES", meaning: "/ does not search here: \\ does"},
		{[]string{"\\", "f4", "f3", "f"}, "\\ F4 f", "filter: part of a name, program or user, or a whole PID", func(m *screen) action { return m.ask(promptFilter) }},
		{[]string{"esc"}, "Esc", "end the filter", func(m *screen) action { return m.filter("") }},
		{[]string{"t", "f5"}, "t F5", "tree, or list", func(m *screen) action { return m.toggleTree() }},
		{[]string{"space", "+", "-"}, "Space + -", "fold or unfold the tree below a process", func(m *screen) action { return m.fold() }},
		{[]string{"F"}, "F", "follow the process in the sorting", func(m *screen) action { return m.toggleFollow() }},
		{[]string{"f6", ">"}, "F6 >", "choose the column to sort by, or the next one", nil},
		{[]string{"<"}, "<", "sort by the column before", func(m *screen) action { return m.sortBy(m.order - 1 + len(orders)) }},
		{[]string{"P"}, "P M I T N", "sort by CPU, memory, input and output, CPU time, PID", func(m *screen) action { return m.sortBy(orderNamed("cpu")) }},
		{[]string{"r"}, "r", "turn the order around", func(m *screen) action { return m.toggleReverse() }},
		{[]string{"K"}, "K", "hide or show the threads of the kernel", func(m *screen) action { return m.toggleKernel() }},
		{[]string{"c"}, "c", "CPU % of one processor, or of the machine", func(m *screen) action { return m.toggleShare() }},
		{[]string{"p"}, "p", "name of the process, or its program and command line", func(m *screen) action { return m.toggleProgram() }},
		{[]string{"up", "k", "ctrl+p"}, "Up Down", "choose a process; also PgUp, PgDn, Home, End, k and j", func(m *screen) action { return m.move(-1) }},

		{shown: "TOP", meaning: ""},
		{[]string{"?", "h", "f1"}, "? h F1", "this help", func(m *screen) action { return m.toggleHelp() }},
		{[]string{"ctrl+l"}, "Ctrl-L", "draw all again", func(*screen) action { return action{redraw: true} }},
		{[]string{"ctrl+z"}, "Ctrl-Z", "suspend", func(*screen) action { return action{suspend: true} }},
		{[]string{"q", "f10", "ctrl+c"}, "q F10", "quit", func(*screen) action { return action{quit: true} }},
	}
}

// silentKeys are keys without a line of their own in the help.
func silentKeys() []key {
	by := func(name string) func(*screen) action {
		return func(m *screen) action { return m.sortBy(orderNamed(name)) }
	}
	return []key{
		{names: []string{"M"}, do: by("memory")},
		{names: []string{"I"}, do: by("io")},
		{names: []string{"T"}, do: by("time")},
		{names: []string{"N"}, do: by("pid")},
		{names: []string{"f6"}, do: func(m *screen) action { return m.ask(promptSort) }},
		{names: []string{">"}, do: func(m *screen) action { return m.sortBy(m.order + 1) }},
		{names: []string{"down", "j", "ctrl+n"}, do: func(m *screen) action { return m.move(1) }},
		{names: []string{"pgup"}, do: func(m *screen) action { return m.move(-m.page()) }},
		{names: []string{"pgdown"}, do: func(m *screen) action { return m.move(m.page()) }},
		{names: []string{"home"}, do: func(m *screen) action { return m.move(-maxRows) }},
		{names: []string{"end"}, do: func(m *screen) action { return m.move(maxRows) }},
	}
}

// bindings maps the name of each key to what it does.
func bindings() map[string]func(*screen) action {
	all := map[string]func(*screen) action{}
	for _, k := range append(keys(), silentKeys()...) {
		for _, name := range k.names {
			if k.do != nil {
				all[name] = k.do
			}
		}
	}
	return all
}

// helpFooter explains what the screen shows.
var helpFooter = []string{
	"",
	"A blank in a sparkline, and \"no reading\", is a time of which nothing is known;",
	"it is not 0. Sparklines show the highest of each column. CPU % is 100 for one",
	"processor, as in htop; c changes it. Times are local. Of the past only the top",
	"processes of each moment are kept; the others are in one sum.",
}
