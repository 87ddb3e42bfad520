package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sysotel/agent/clock"
)

// noon is when the alerts of the tests begin.
var noon = time.Date(2026, 2, 2, 12, 0, 0, 0, time.UTC)

// hostile is a name that wants to be mark-up, to call people, to begin a line of
// its own, to end a string, and to turn the direction of writing.
const hostile = "<b>x</b><!channel>@channel @everyone <script>alert(1)</script>\r\nBcc: all@example.org\n\n{\"a\":1} \x1b[2J\u202e`*_~ {{.X}} [a](http://evil.example)"

// firing is an alert about a rule with everything that a notice can have.
func firing(rule string) Notice {
	return Notice{
		ID: rule + " 1", Fingerprint: rule, Rule: rule, Host: "web1", State: Firing, Severity: "warning",
		Value: new(93.44), Threshold: "> 80", Unit: "%", Summary: "The processors are busy.",
		Since: noon, At: noon.Add(5 * time.Minute), Labels: map[string]string{"device": "sda"},
		Processes: []Process{{Name: "stress", PID: 4711, CPUPercent: 98.1, MemoryBytes: 12 << 20}},
		Link:      "https://web1.example.org/?from=2026-02-02T11:55:00Z&to=2026-02-02T12:05:00Z&host=web1",
	}
}

// resolved is the end of that alert.
func resolved(rule string) Notice {
	n := firing(rule)
	n.ID, n.State, n.Value, n.At, n.Ended = rule+" 2", Resolved, new(12.0), noon.Add(12*time.Minute), noon.Add(12*time.Minute)
	return n
}

// hostileNotice has a hostile name wherever there is one.
func hostileNotice() Notice {
	n := firing(hostile)
	n.ID, n.Fingerprint, n.Host, n.Summary, n.Description = "hostile", "hostile", hostile, hostile, hostile
	n.Labels = map[string]string{"device": hostile, hostile: "x"}
	n.Processes[0].Name = hostile
	return n
}

// fake is a sender that records what it sends.
type fake struct {
	mu     sync.Mutex
	sent   []string    // what it took
	at     []time.Time // and when
	tries  int
	answer func(try int) error
}

func (f *fake) send(_ context.Context, m message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tries++
	if f.answer != nil {
		if err := f.answer(f.tries); err != nil {
			return err
		}
	}
	var ids []string
	for _, n := range m.notices {
		ids = append(ids, n.ID)
	}
	f.sent, f.at = append(f.sent, strings.Join(ids, ",")), append(f.at, time.Now())
	return nil
}

func (f *fake) received() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.sent, " | ")
}

// open opens a Notifier whose senders are fakes.
func open(t *testing.T, dir string, fakes map[string]*fake, change func(*Config)) *Notifier {
	t.Helper()
	return openAt(t, dir, newJudge(), fakes, change)
}

// newJudge is a judge of the time of a test or its bubble.
func newJudge() *clock.Judge {
	began := time.Now()
	return clock.New(clock.Options{Boot: func() time.Duration { return time.Hour + time.Since(began) }})
}

// openAt is open with a clock.
func openAt(t *testing.T, dir string, judge *clock.Judge, fakes map[string]*fake, change func(*Config)) *Notifier {
	t.Helper()
	n := openBy(t, dir, judge, func(c *Config) {
		c.Channels = nil
		for name := range fakes {
			c.Channels = append(c.Channels, ChannelConfig{Name: name, MaxPerHour: defaultPerHour, Slack: SlackConfig{URL: "http://localhost:1/"}})
		}
		if change != nil {
			change(c)
		}
	})
	for _, q := range n.queues {
		if f := fakes[q.name]; f != nil {
			q.sender = f
		}
	}
	return n
}

// openReal opens a Notifier with a configuration that Validate likes.
func openReal(t *testing.T, dir string, change func(*Config)) *Notifier {
	t.Helper()
	return openBy(t, dir, newJudge(), change)
}

func openBy(t *testing.T, dir string, judge *clock.Judge, change func(*Config)) *Notifier {
	t.Helper()
	c := Defaults()
	change(&c)
	c.Validate(dir, func(path string, value any, rule string) { t.Errorf("%s: %v: %s", path, value, rule) })
	n, err := Open(t.Context(), Options{Config: c, DataDir: dir, Host: "web1", Clock: judge, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// start runs a Notifier and returns what stops and closes it.
func start(t *testing.T, n *Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	return func() {
		cancel()
		if err := errors.Join(<-ended, n.Close()); err != nil {
			t.Error(err)
		}
	}
}

func deliver(t *testing.T, n *Notifier, all ...Notice) {
	t.Helper()
	for _, one := range all {
		if err := n.Deliver(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
}

// want fails where two texts differ.
func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is\n%v\nwant\n%v", what, got, want)
	}
}

// TestMain is also the child that TestKill kills.
func TestMain(m *testing.M) {
	runChild()
	goleak.VerifyTestMain(m,
		// lumberjack never ends the goroutine that removes old files.
		goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}
