// Package command runs programs that print metrics in the Prometheus text format.
// It is the one place that starts programs.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"sysotel/instruments/exposition"
	"sysotel/instruments/sanitize"
)

// Config is one program that prints metrics.
type Config struct {
	Name     string        `yaml:"name" help:"Name of the command in logs and self-metrics: lower-case letters, digits, - and _."`
	Command  []string      `yaml:"command" path:"program" help:"The program and its arguments; no shell reads them."`
	Interval time.Duration `yaml:"interval" help:"Time between two runs; a run starts with the first tick after it, 1s to 1h."`
	Timeout  time.Duration `yaml:"timeout" help:"Time after which a run is killed, at most the interval."`
}

// SetDefaults fills in what an entry of custom.commands may leave out.
func (c *Config) SetDefaults() {
	c.Interval, c.Timeout = 10*time.Second, 5*time.Second
}

// Command is a program that prints metrics. It runs beside the ticks: a tick
// starts it when it is due, and a later tick takes what it printed. It never
// runs twice at once.
type Command struct {
	Config
	share   *exposition.Share
	ctx     context.Context
	cancel  context.CancelFunc
	started time.Time
	running bool
	ended   chan exposition.Source
	source  exposition.Source
}

// New returns a command that has not run yet. The end of ctx kills it. What it prints is
// of the share.
func New(ctx context.Context, c Config, share *exposition.Share) *Command {
	ctx, cancel := context.WithCancel(ctx)
	return &Command{
		Config: c, share: share, ctx: ctx, cancel: cancel,
		ended: make(chan exposition.Source, 1), source: exposition.Source{Name: c.Name, Seconds: math.NaN()},
	}
}

// Find returns an error if the program of a command is not there or cannot be run.
func Find(c Config) error {
	_, err := exec.LookPath(c.Command[0])
	return err
}

// Is reports whether the command has this configuration already.
func (c *Command) Is(o Config) bool {
	return c.Name == o.Name && c.Interval == o.Interval && c.Timeout == o.Timeout && slices.Equal(c.Command, o.Command)
}

// Source is what the last run that ended gave.
func (c *Command) Source() exposition.Source { return c.source }

// Stop kills the program where it runs, and gives back what its output holds of the bound
// for all sources.
func (c *Command) Stop() {
	c.cancel()
	c.share.End()
}

// Wait waits for the end of a run. The next Refresh takes its result.
func (c *Command) Wait() {
	if c.running {
		c.ended <- <-c.ended
	}
}

// Refresh takes the result of a run that ended, starts the next one when it is
// due, and reports whether there is a new result. interval is the time between two
// ticks.
func (c *Command) Refresh(clock func() time.Time, interval time.Duration) bool {
	changed := false
	if c.running {
		select {
		case c.source = <-c.ended:
			c.running, changed = false, true
		default:
		}
	}
	now := clock()
	// Half a tick early is on time: ticks come a little before or after their second.
	if !c.running && (c.started.IsZero() || now.Sub(c.started) >= c.Interval-interval/2) {
		c.started, c.running = now, true
		before := c.source
		go func() { c.ended <- c.run(clock, before) }()
	}
	return changed
}

// run runs the program once and reads what it printed; before is of the run before.
func (c *Command) run(clock func() time.Time, before exposition.Source) exposition.Source {
	start := clock()
	text, err := run(c.ctx, c.Command, c.Timeout)
	end := clock()
	s := exposition.Source{Name: c.Name, Changes: before.Changes, Seconds: end.Sub(start).Seconds()}
	if err == nil {
		err = c.share.Hold(int64(len(text)))
	}
	if err != nil {
		_ = c.share.Hold(0) // Which is always possible.
		s.Errors = []error{err}
		return s
	}
	s.Families, s.Errors = exposition.Parse(text)
	s.OK, s.Written = len(s.Errors) == 0, end
	if !before.Written.IsZero() {
		s.Changes++
	}
	return s
}

// maxErrorText is how much of a program's error output goes into a message.
const maxErrorText = 300

// run runs a program without a shell and returns what it prints. A program that
// runs longer than limit, or prints more than a source may, is killed with all
// programs that it started.
func run(ctx context.Context, argv []string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // The operator's command; no shell reads it.
	ownGroup(cmd)
	// A program that left another behind with its output open is not waited for.
	cmd.WaitDelay = time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), isOurs)
	out := &boundedOutput{limit: exposition.MaxBytes, exceeded: cancel}
	complaint := &shortOutput{limit: maxErrorText}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := runAndWait(cmd)
	switch {
	case out.full:
		return nil, fmt.Errorf("printed more than %d bytes and was killed", out.limit)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("did not end within %s and was killed%s", limit, complaint)
	case errors.Is(err, exec.ErrWaitDelay):
		return nil, errors.New("ended but left a program behind that keeps its output open")
	case err != nil:
		return nil, fmt.Errorf("%w%s", err, complaint)
	}
	return out.text.Bytes(), nil
}

// isOurs reports whether a variable is for the agent alone: it may hold a secret that
// other programs must not get, or name the socket of its supervisor.
func isOurs(variable string) bool {
	return slices.ContainsFunc([]string{"SYSOTEL_", "OTEL_", "NOTIFY_SOCKET=", "WATCHDOG_"}, func(prefix string) bool {
		return strings.HasPrefix(variable, prefix)
	})
}

// boundedOutput keeps what a program prints up to a limit.
type boundedOutput struct {
	text     bytes.Buffer
	limit    int
	full     bool
	exceeded func()
}

// Write implements io.Writer.
func (b *boundedOutput) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > b.limit {
		b.full = true
		b.exceeded()
		return 0, errors.New("too much output")
	}
	return b.text.Write(p)
}

// shortOutput keeps the beginning of what a program prints.
type shortOutput struct {
	text  []byte
	limit int
}

// Write implements io.Writer.
func (s *shortOutput) Write(p []byte) (int, error) {
	s.text = append(s.text, p[:min(len(p), s.limit-len(s.text))]...)
	return len(p), nil
}

// String is the end of an error message. It is quoted: what a program prints
// may hold line breaks that would forge lines of our log.
func (s *shortOutput) String() string {
	text := strings.TrimSpace(sanitize.ValidUTF8(string(s.text)))
	if text == "" {
		return ""
	}
	return fmt.Sprintf(", saying %q", text)
}
