package top

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"sysotel/agent/alerting"
	"sysotel/api"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// epoch is when the fixtures are; the zone has no summer time.
var (
	seoul = time.FixedZone("KST", 9*3600)
	epoch = time.Date(2026, time.March, 5, 3, 4, 5, 0, seoul)
)

// hostile are names that attack the screen: sequences that clear it, wide
// characters, some without width, and a long one.
var hostile = []string{
	"x\x1b[2J\x1b]52;c;aGk=\x07\r\n", "\u202egpj.exe", "데이터베이스-서버-프로세스-이름이-아주-긴-경우", "e\u0301\u0301\u0301cole",
	"👩‍👩‍👧‍👦 family", "🇰🇷 flag", "a\u200b\u200bb", "\xff\xfe", "日本語", "\u009b2J", strings.Repeat("long-", 60), "ᄀ\u1161\u11a8",
}

// tableOf decodes a table of n processes in a tree, their names from names.
func tableOf(t testing.TB, n int, names []string) *api.Processes {
	t.Helper()
	var rows []string
	for i := range n {
		name, err := json.Marshal(strings.ToValidUTF8(names[i%len(names)], "\uFFFD"))
		if err != nil {
			t.Fatal(err)
		}
		status := []string{"sleeping", "running", "blocked", "zombie", "idle", "stopped", "new"}[i%7]
		io := "null"
		if i%3 > 0 {
			io = fmt.Sprint(i * 1234567)
		}
		rows = append(rows, fmt.Sprintf(`{"name":%s,"pid":%d,"parent_pid":%d,"program":%s,"user":%s,"status":%q,"kernel":%t,
			"cpu_percent":%g,"cpu_percent_core":%g,"cpu_seconds":%d,"memory_percent":%g,"memory_rss":%d,"num_threads":%d,
			"read_bytes_per_sec":%s,"write_bytes_per_sec":%s,"started":%q}`,
			name, i+1, i/3, name, name, status, i%5 == 4, 40/float64(i+1), 160/float64(i+1), i*i*100, 30/float64(i+1), int64(8e9)/int64(i+1), i%9+1,
			io, io, epoch.Add(-time.Duration(i)*7*time.Hour).UTC().Format(time.RFC3339)))
	}
	var table api.Processes
	text := fmt.Sprintf(`{"timestamp":%q,"hostname":"server-01","cpu_count":4,"total":%d,"matched":%d,"sort":"cpu","processes":[%s],
		"others":{"processes":7,"cpu_percent":1.5,"cpu_percent_core":6},"unattributed":{"cpu_percent":0.25,"cpu_percent_core":1,"cpu_seconds":3}}`,
		epoch.UTC().Format(time.RFC3339), n+7, n, strings.Join(rows, ","))
	if err := json.Unmarshal([]byte(text), &table); err != nil {
		t.Fatal(err)
	}
	return &table
}

// reading is a snapshot of so many processors.
func reading(cores int) *Snapshot {
	s := &Snapshot{
		Time: epoch, Host: "server-01", Resolution: 1, Uptime: 273_840, CPU: 37.5, Load: [3]number{1.5, 0.75, 0.25},
		Memory: meter{6_123_456_789, 8_000_000_000, 76.5}, Swap: meter{0, 2_000_000_000, 0}, Disk: meter{90e9, 100e9, 90},
		Fullest: mount{"/var/lib\x1b[2J", 97.25}, Read: 1_234_567, Written: 0, Received: 98_765_432, Sent: 1234,
		states: states{total: 27, running: 2, blocked: 0, zombies: 1},
	}
	for i := range cores {
		s.Core = append(s.Core, core{fmt.Sprintf("cpu%d", i), number(i * 100 / cores)})
	}
	return s
}

// live is a screen of the present with history, hostile names and two alerts.
func live(t testing.TB, width, height, cores int) *screen {
	t.Helper()
	m := newScreen(true, false, seoul)
	m.width, m.height = width, height
	for i := range 240 { // The last four minutes, with half a minute without readings.
		s := reading(0)
		s.Time = epoch.Add(time.Duration(i-239) * time.Second)
		s.CPU, s.Memory.Percent, s.Read, s.Received = number(i*100/239), number(76-i%3), number(i%40*1000), number(i*i)
		if i >= 150 && i < 180 {
			continue
		}
		m.tracks.add(s, time.Second)
	}
	m.read(reading(cores), time.Second, epoch)
	m.live.alerts, m.live.asked = []alert{
		{Rule: "HighCPUUsage", State: alerting.Firing, Summary: "CPU usage of server-01 is 92 %\x1b[2J"},
		{Rule: "DiskFull", State: alerting.NoData, Summary: "디스크 사용률이 높음"},
	}, true
	m.showTable(m.query(), tableOf(t, 20, hostile), nil)
	return m
}

// past is a screen of three hours ago, from a window of so coarse a history.
func past(t testing.TB, width, height int, step time.Duration) *screen {
	t.Helper()
	m := live(t, width, height, 4)
	at := epoch.Add(-3 * time.Hour)
	m.goTo(at)
	w := &window{host: "server-01", from: at.Add(-span * step), to: at.Add(ahead * step), step: step, rows: map[string][]api.SeriesRow{}}
	for metric, scale := range map[string]float64{
		"cpu_usage_total": 0.1, "memory_percent": 0.2, "memory_used": 1e7, "memory_total": 4e7, "disk_percent": 0.3,
		"disk_read_bytes": 1e4, "disk_write_bytes": 1e3, "net_bytes_recv": 1e5, "net_bytes_sent": 10, "load_average_1": 0.01,
	} {
		var values []string
		var times []string
		for i := range span + ahead {
			value := fmt.Sprint(float64(i) * scale)
			if i >= 100 && i < 150 || i == span+4 {
				value = "null"
			}
			values = append(values, value)
			times = append(times, fmt.Sprint(w.from.Add(time.Duration(i)*step).Unix()))
		}
		var row api.SeriesRow
		if err := json.Unmarshal(fmt.Appendf(nil, `{"metric":%q,"t":[%s],"avg":[%s]}`, metric, strings.Join(times, ","), strings.Join(values, ",")), &row); err != nil {
			t.Fatal(err)
		}
		w.rows[metric] = []api.SeriesRow{row}
	}
	m.showPast(at, w)
	table := tableOf(t, 8, []string{"postgres", "nginx", "백업"})
	table.Period = &api.ProcessPeriod{Start: at.Add(-step), End: at, Tiers: []api.SeriesTier{{Tier: "1m"}}}
	m.showTable(m.query(), table, nil)
	return m
}

// TestGoldenScreens holds what is drawn to the files in testdata, which are to be
// looked at when they change.
func TestGoldenScreens(t *testing.T) {
	press := func(m *screen, names ...string) *screen {
		table := bindings()
		for _, name := range names {
			text := ""
			if len(name) == 1 {
				text = name
			}
			m.press(name, text, table)
		}
		m.arrange()
		return m
	}
	stale := live(t, 80, 24, 4)
	stale.clock = epoch.Add(12 * time.Second)
	gap := past(t, 80, 24, time.Second)
	gap.goTo(gap.moment.Add(4 * time.Second))
	gap.showPast(gap.moment, gap.window)
	gap.showTable(gap.query(), nil, &refusal{404, "There are no records of processes at this time."})
	empty := newScreen(true, false, seoul)
	empty.lost = &refusal{status: 401}
	ascii := live(t, 80, 24, 4)
	ascii.glyphs = glyphsFor(false)
	filtered := live(t, 80, 24, 4)
	filtered.showTable(tableQuery{text: "flag"}, tableOf(t, 0, hostile), nil)
	filtered.text = "flag"
	for name, m := range map[string]*screen{
		"80x24":       live(t, 80, 24, 4),
		"200x60":      live(t, 200, 60, 16),
		"60x20":       live(t, 60, 20, 4),
		"40x8":        live(t, 40, 8, 4),
		"cores128":    live(t, 80, 24, 128),
		"cores1000":   live(t, 80, 24, 1000),
		"tree":        press(live(t, 80, 24, 4), "t", "down", "down", "space"),
		"by-time":     press(live(t, 120, 24, 4), "T", "r", "c"),
		"help":        press(live(t, 80, 50, 4), "?"),
		"help-low":    press(live(t, 60, 20, 4), "?", "down"),
		"prompt":      press(live(t, 80, 24, 4), "g", "0", "3"),
		"sort":        press(live(t, 80, 24, 4), "f6"),
		"filter":      filtered,
		"stale":       stale,
		"past":        past(t, 80, 24, time.Second),
		"past-coarse": past(t, 200, 24, time.Minute),
		"gap":         gap,
		"refused":     empty,
		"ascii":       ascii,
	} {
		file := filepath.Join("testdata", name+".txt")
		got := m.render() + "\n"
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != got {
			t.Errorf("%s is another screen (%v); look at it after make golden:\n%s", file, err, got)
		}
	}
}

// colour is a sequence that sets colours, the only one that is written.
var colour = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestScreenIsExact: whatever the size and the state, the screen has exactly as many
// lines and cells as the terminal, and nothing in it controls the terminal.
func TestScreenIsExact(t *testing.T) {
	states := map[string]*screen{
		"live": live(t, 80, 24, 4), "cores": live(t, 80, 24, 128), "past": past(t, 80, 24, time.Minute),
		"nothing": newScreen(true, true, seoul), "tree": live(t, 80, 24, 2), "help": live(t, 80, 24, 2),
		"filter": live(t, 80, 24, 2), "stale": live(t, 80, 24, 2), "ascii": live(t, 80, 24, 2),
	}
	states["tree"].toggleTree()
	states["help"].toggleHelp()
	states["filter"].ask(promptFilter)
	states["filter"].typed = strings.Repeat("가", maxTyped)
	states["stale"].clock = epoch.Add(time.Hour)
	states["ascii"].glyphs = glyphsFor(false)
	for name, m := range states {
		m.paint = true
		for _, width := range []int{1, 2, 12, 39, 60, 80, 81, 120, 200} {
			for _, height := range []int{1, 2, 5, 9, 15, 16, 24, 60} {
				m.width, m.height = width, height
				m.arrange()
				frame := m.render()
				lines := strings.Split(frame, "\n")
				if len(lines) != height {
					t.Fatalf("%s at %d×%d has %d lines", name, width, height, len(lines))
				}
				for i, line := range lines {
					if got := widthOf(line); got != width {
						t.Fatalf("%s at %d×%d: line %d has %d cells: %q", name, width, height, i, got, line)
					}
					if strings.ContainsFunc(colour.ReplaceAllString(line, ""), func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsMark(r) }) {
						t.Fatalf("%s at %d×%d: line %d controls the terminal: %q", name, width, height, i, line)
					}
				}
			}
		}
	}
}

// TestUnknownIsNotZero: what was not measured is "no reading" or a dash, in the
// meters, the sparklines and in JSON.
func TestUnknownIsNotZero(t *testing.T) {
	m := past(t, 100, 24, time.Second)
	m.goTo(m.moment.Add(4 * time.Second))
	m.showPast(m.moment, m.window)
	frame := m.render()
	if n := strings.Count(frame, "no reading"); n < 7 || regexp.MustCompile(`\b0\.0 %`).MatchString(frame) {
		t.Errorf("a gap is shown %d times as no reading:\n%s", n, frame)
	}
	if strings.Contains(frame, "No alert fires") || !strings.Contains(frame, "Alerts: no reading") {
		t.Errorf("a gap without alerts is shown as health:\n%s", frame)
	}
	text, err := json.Marshal(m.past)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cpu_percent":null`, `"load_average":[null,null,null]`, `"disk_read_bytes_per_sec":null`, `"alerts":null`, `"percent":null`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	var missing track
	missing.add(100, 5, time.Second)
	missing.add(101, 0, time.Second)
	missing.add(103, unknown, time.Second)
	values, _ := missing.columns(104, span)
	last := values[span-5:]
	if last[0] != 5 || last[1] != 0 || last[2].known() || last[3].known() || last[4].known() {
		t.Errorf("5, 0, nothing, unknown, nothing is %v", last)
	}
	if spark := m.spark(&missing, time.Unix(104, 0), 10, span); !strings.HasSuffix(spark, "▅▁   ") {
		t.Errorf("drawn as %q", spark[len(spark)-20:])
	}
}

// TestColumns: a narrow sparkline shows the highest of each column, whole columns
// that do not change as time goes on.
func TestColumns(t *testing.T) {
	var k track
	for at := range int64(600) {
		v := number(1)
		if at == 450 {
			v = 99
		}
		k.add(at, v, time.Second)
	}
	peaks := func(end int64) (all []int) {
		values, points := k.columns(end, 30)
		if points != 10 {
			t.Fatalf("%d points make a column", points)
		}
		for i, v := range values {
			if v == 99 {
				all = append(all, i)
			}
		}
		return all
	}
	if got := fmt.Sprint(peaks(590), peaks(599), peaks(600)); got != "[15] [15] [14]" {
		t.Errorf("the peak is in columns %s", got)
	}
	// With an interval of 5 s each point is one of its own.
	var slow track
	for at := int64(0); at <= 100; at += 5 {
		slow.add(at, 7, 5*time.Second)
	}
	values, _ := slow.columns(100, span)
	if values[span-1] != 7 || values[span-21] != 7 || values[span-22].known() {
		t.Errorf("points of 5 s are %v", values[span-22:])
	}
}

// TestCanvas: only lines that changed are written, all of them after a resize, and
// nothing where nothing changed.
func TestCanvas(t *testing.T) {
	var out strings.Builder
	c := &canvas{out: &out}
	draw := func(frame, want string) {
		t.Helper()
		out.Reset()
		if err := c.draw(frame); err != nil || out.String() != want {
			t.Errorf("%q is drawn as %q (%v), want %q", frame, out.String(), err, want)
		}
	}
	draw("a\nb", beginFrame+clearScreen+"\x1b[1;1Ha\x1b[2;1Hb"+endFrame)
	draw("a\nc", beginFrame+"\x1b[2;1Hc"+endFrame)
	draw("a\nc", "")
	draw("a\nc\nd", beginFrame+clearScreen+"\x1b[1;1Ha\x1b[2;1Hc\x1b[3;1Hd"+endFrame)
	c.forget()
	draw("a\nc\nd", beginFrame+clearScreen+"\x1b[1;1Ha\x1b[2;1Hc\x1b[3;1Hd"+endFrame)
}

// TestWithoutColours: NO_COLOR leaves bold, dim and reversed text.
func TestWithoutColours(t *testing.T) {
	m := live(t, 80, 24, 4)
	m.paint, m.mono = true, true
	for _, found := range colour.FindAllString(m.render(), -1) {
		if !strings.Contains("\x1b[m \x1b[1m \x1b[2m \x1b[7m", found) {
			t.Fatalf("writes %q", found)
		}
	}
}

// TestWidthOf: the short way counts as the library does.
func TestWidthOf(t *testing.T) {
	for _, s := range append(slices.Clone(hostile), "plain", "\x1b[1;31m■■\x1b[m··", "▁▂▃█ ├─ └─ │ …↓↑", "데이터 ■", "\x1b[2m한\x1b[m", "") {
		if !colour.MatchString(s) {
			s = clean(s, glyphsFor(true))
		}
		if got, want := widthOf(s), ansi.StringWidth(s); got != want {
			t.Errorf("%q has %d cells, want %d", s, got, want)
		}
	}
	if got := widthOf("\x1b[1;31m■■\x1b[m·"); got != 3 {
		t.Errorf("a bar of three cells has %d", got)
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"nginx":                  "nginx",
		"a\x1b[31mb\n":           "a?[31mb?",
		"\u202egpj":              "?gpj",
		"cafe\u0301":             "café",
		"x\u0301\u0302":          "x??",
		"데이터":                    "데이터",
		"\u1112\u1161\u11ab":     "한",
		"a\u200db\ufeff":         "a?b?",
		"👍🏽":                     "👍?",
		"🇰🇷":                     "??",
		"\xff\xfeok":             "?ok",
		"no\u00a0break\u3000end": "no?break?end",
	} {
		if got := clean(text, glyphsFor(true)); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
	if got := clean("café 데", glyphsFor(false)); got != "caf? ?" {
		t.Errorf("in ASCII: %q", got)
	}
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 5, "abc  "}, {"abcdef", 4, "abc…"}, {"데이터", 4, "데… "}, {"데이터", 5, "데이…"}, {"x", 0, ""}} {
		if got := fit(c.text, c.width, glyphsFor(true)); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		sizeText(0.0): "0", sizeText(999.0): "999", sizeText(1000.0): "0.98K", sizeText(1536.0): "1.50K", sizeText(10.0 * 1024): "10.0K",
		sizeText(1023.0 * 1024): "1.00M", sizeText(5e9): "4.66G", sizeText(unknown): "-",
		rateText(999, true): "999 B/s", rateText(1_234_567, true): "1.23 MB/s", rateText(1536, false): "1.50 KiB/s", rateText(0, false): "0 B/s",
		rateText(unknown, true): "no reading", cpuTime(62.355): "1:02.36", cpuTime(45_240.0): "12h34m", cpuTime(unknown): "-",
		lengthText(59 * time.Second): "59s", lengthText(61 * time.Second): "1m01s", lengthText(49 * time.Hour): "2d01h",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skipf("no time zones here: %v", err)
	}
	now := time.Date(2026, time.March, 29, 14, 30, 30, 500, zone) // Summer time began at 02:00.
	for text, want := range map[string]string{
		"03:00":                "2026-03-29T03:00:00+02:00",
		"14:30":                "2026-03-29T14:30:00+02:00",
		"14:30:31":             "2026-03-28T14:30:31+01:00",
		"23:15":                "2026-03-28T23:15:00+01:00",
		"2026-03-01 03:00":     "2026-03-01T03:00:00+01:00",
		"2026-03-01T03:00:07":  "2026-03-01T03:00:07+01:00",
		"2026-03-01":           "2026-03-01T00:00:00+01:00",
		"2026-03-01T03:00:00Z": "2026-03-01T04:00:00+01:00",
		"-15m":                 "2026-03-29T14:15:30+02:00",
		"-1d":                  "2026-03-28T13:30:30+01:00",
		"1770028200":           "2026-02-02T11:30:00+01:00",
	} {
		got, err := ParseMoment(text, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %s (%v), want %s", text, got.Format(time.RFC3339), err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is no time", "three": "is no time", "-": "is no time", "25:00": "is no time", "-0s": "is no time",
		"2026-03-29 15:00": "in the future", "2027-01-01": "in the future",
	} {
		if _, err := ParseMoment(text, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestForest: siblings keep their order, a circle of parents ends, nothing is lost
// or shown twice, and what is folded is counted.
func TestForest(t *testing.T) {
	table := tableOf(t, 12, []string{"p"})
	set := func(pid, parent int) { *table.Processes[pid-1].ParentPID = parent }
	set(1, 0)
	set(2, 1)
	set(3, 1)
	set(4, 2)
	for pid := 5; pid <= 8; pid++ {
		set(pid, pid%4+5) // 5 → 6 → 7 → 8 → 5
	}
	set(9, 9)
	set(10, 4711)
	set(11, 4)
	set(12, 10)
	draw := func(folded map[int]bool) string {
		var lines []string
		for _, r := range forest(list(table.Processes, orders[orderNamed("pid")], false), folded, glyphsFor(true)) {
			line := fmt.Sprint(r.branch, r.PID)
			if r.folded > 0 {
				line += fmt.Sprintf("+%d", r.folded)
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, " ")
	}
	if got, want := draw(nil), "1 ├─ 2 │  └─ 4 │     └─ 11 └─ 3 9 10 └─ 12 5 └─ 8 "; !strings.HasPrefix(got, want) || len(strings.Fields(strings.NewReplacer("│", "", "├─", "", "└─", "").Replace(got))) != 12 {
		t.Errorf("got  %s\nwant %s...", got, want)
	}
	if got := draw(map[int]bool{2: true}); !strings.HasPrefix(got, "1 ├─ 2+2 └─ 3 9") {
		t.Errorf("folded: %s", got)
	}
}

// TestFollow: the cursor stays on a followed process wherever it is sorted, on its
// line otherwise, and following ends with the process.
func TestFollow(t *testing.T) {
	m := live(t, 80, 24, 2)
	m.move(3)
	id := m.chosen
	m.toggleFollow()
	m.toggleReverse()
	if m.lines[m.cursor].PID != id.pid || m.cursor == 3 {
		t.Errorf("the cursor is on %d at line %d, following %d", m.lines[m.cursor].PID, m.cursor, id.pid)
	}
	if q := m.query(); q.rows != maxRows {
		t.Errorf("following asks for %d rows", q.rows)
	}
	table := tableOf(t, 20, hostile)
	table.Processes = append(table.Processes[:id.pid-1], table.Processes[id.pid:]...)
	m.showTable(m.query(), table, nil)
	if m.follow || !strings.Contains(m.message, "has ended") {
		t.Errorf("still following: %t, %q", m.follow, m.message)
	}
	m.move(maxRows)
	if m.cursor != len(m.lines)-1 || m.offset+m.page() != len(m.lines) {
		t.Errorf("End is line %d of %d, the first in sight %d", m.cursor, len(m.lines), m.offset)
	}
}

// TestSteps: the arrows step through the past and back into the present; before
// the newest reading there is no step on.
func TestSteps(t *testing.T) {
	m, table := live(t, 80, 24, 2), bindings()
	want := func(key string, ago time.Duration) {
		t.Helper()
		m.press(key, "", table)
		if got := m.moment; ago == 0 && !got.IsZero() || ago != 0 && !got.Equal(epoch.Add(-ago)) {
			t.Errorf("after %s: %s, want %s ago", key, got, ago)
		}
	}
	want("right", 0)
	want("left", time.Second)
	want("left", 2*time.Second)
	want("[", 62*time.Second)
	want("{", time.Hour+62*time.Second)
	want("}", 62*time.Second)
	want("]", 2*time.Second)
	want("right", time.Second)
	want("right", 0)
	m.goTo(epoch.Add(-24 * time.Hour))
	m.window = &window{step: time.Minute}
	want("left", 24*time.Hour+time.Minute) // By the steps of the history there.
	want("n", 0)
	for _, c := range "g03:04" {
		m.press(string(c), string(c), table)
	}
	want("enter", 5*time.Second)
	if a := m.press("/", "/", table); a.event != 1 {
		t.Errorf("/ in the past asks for %d", a.event)
	}
	m.press("g", "g", table)
	m.press("x", "x", table)
	m.press("enter", "", table)
	if !m.wrong || !strings.Contains(m.message, "is no time") {
		t.Errorf("a wrong time says %q", m.message)
	}
	m.now()
	if a := m.press("/", "/", table); a.event != -1 {
		t.Errorf("/ now asks for %d", a.event)
	}
}

// TestFilterIsTyped: what is typed or pasted filters at once, Esc ends it, and no
// key is taken for a command meanwhile.
func TestFilterIsTyped(t *testing.T) {
	m, table := live(t, 80, 24, 2), bindings()
	for _, c := range "\\qsh" {
		if a := m.press(string(c), string(c), table); a.quit {
			t.Fatal("q quits while a filter is typed")
		}
	}
	if m.query().text != "qsh" {
		t.Errorf("asks for %q", m.query().text)
	}
	m.press("paste", "\x1b[2J"+strings.Repeat("y", 10), table)
	m.press("paste", strings.Repeat("z", 1000), table)
	if m.text != "qsh?[2Jyyyyyyyyyy" {
		t.Errorf("a paste makes %q", m.text)
	}
	m.press("backspace", "", table)
	m.press("enter", "", table)
	if m.text != "qsh?[2Jyyyyyyyyy" || m.prompt != promptNone {
		t.Errorf("kept %q", m.text)
	}
	m.press("esc", "", table)
	if m.text != "" {
		t.Errorf("Esc leaves %q", m.text)
	}
}

// TestKeysAreExplained: no key is bound twice, and the help names each key that the
// bottom line shows.
func TestKeysAreExplained(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range append(keys(), silentKeys()...) {
		for _, name := range k.names {
			if k.do != nil && seen[name] {
				t.Errorf("%s is bound twice", name)
			}
			seen[name] = seen[name] || k.do != nil
		}
		if k.shown != "" && k.meaning == "" && len(k.names) > 0 {
			t.Errorf("%s is not explained", k.shown)
		}
	}
	m := live(t, 120, 80, 2)
	m.toggleHelp()
	help := strings.Join(m.helpLines(), "\n")
	for _, name := range []string{"?", "q", "\\", "F6", "t", "F", "Left", "Right", "g", "/", "n", "filter"} {
		if !strings.Contains(help, name) {
			t.Errorf("the help does not name %s", name)
		}
	}
}

// TestWindowValue: a point covers the step that ends at its time, and no other.
func TestWindowValue(t *testing.T) {
	w := &window{step: time.Minute}
	var row api.SeriesRow
	if err := json.Unmarshal([]byte(`{"t":[60,120,240],"avg":[1,null,3]}`), &row); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int64]string{0: "NaN", 1: "1", 60: "1", 61: "NaN", 120: "NaN", 150: "NaN", 180: "NaN", 181: "3", 240: "3", 241: "NaN"} {
		if got := fmt.Sprint(float64(w.value(&row, time.Unix(at, 0)))); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}
