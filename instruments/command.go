package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"sysotel/instruments/sanitize"
)

// command is a program that prints metrics. It runs beside the ticks: a tick
// starts it when it is due, and a later tick takes what it printed. It never
// runs twice at once.
type command struct {
	CommandConfig
	ctx     context.Context
	cancel  context.CancelFunc
	started time.Time
	running bool
	ended   chan customSource
	source  customSource
}

func newCommand(ctx context.Context, c CommandConfig) *command {
	ctx, cancel := context.WithCancel(ctx)
	return &command{
		CommandConfig: c, ctx: ctx, cancel: cancel,
		ended: make(chan customSource, 1), source: customSource{name: c.Name, seconds: unknown},
	}
}

// sameAs tells whether the command is configured so already.
func (c *command) sameAs(o CommandConfig) bool {
	return c.Name == o.Name && c.Interval == o.Interval && c.Timeout == o.Timeout && slices.Equal(c.Command, o.Command)
}

// refresh takes the result of a run that ended, starts the next one when it is
// due, and tells whether there is a new result.
func (c *command) refresh(h *Host, t Tick) bool {
	changed := false
	if c.running {
		select {
		case c.source = <-c.ended:
			c.running, changed = false, true
		default:
		}
	}
	now := h.Now()
	// Half a tick early is on time: ticks come a little before or after their second.
	if !c.running && (c.started.IsZero() || now.Sub(c.started) >= c.Interval-t.Interval/2) {
		c.started, c.running = now, true
		go func() { c.ended <- c.run(h) }()
	}
	return changed
}

// run runs the program once and reads what it printed.
func (c *command) run(h *Host) customSource {
	start := h.Now()
	text, err := h.run(c.ctx, c.Command, c.Timeout)
	s := customSource{name: c.Name}
	if err != nil {
		s.errs = []error{err}
	} else {
		s.families, s.errs = parseExposition(text)
	}
	s.ok, s.seconds = len(s.errs) == 0, since(h, start)
	return s
}

// maxErrorText is how much of a program's error output goes into a message.
const maxErrorText = 300

// run runs a program without a shell and returns what it prints. A program that
// runs longer than limit, or prints more than a source may, is killed with all
// programs that it started.
func (h *Host) run(ctx context.Context, argv []string, limit time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // The operator's command; no shell reads it.
	ownGroup(cmd)
	// A program that left another behind with its output open is not waited for.
	cmd.WaitDelay = time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), isOurs)
	out := &boundedOutput{limit: maxCustomBytes, exceeded: cancel}
	complaint := &shortOutput{limit: maxErrorText}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
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

// isOurs tells whether a variable configures the agent: it may hold a secret
// that a program of somebody else's has no use for.
func isOurs(variable string) bool {
	return strings.HasPrefix(variable, "SYSOTEL_") || strings.HasPrefix(variable, "OTEL_")
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
