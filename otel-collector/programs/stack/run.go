package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sysotel/otel-collector/programs"
)

const (
	// readyTimeout is the time limit for a part to become ready: the agent and
	// VictoriaMetrics first open their data.
	readyTimeout = time.Minute
	// stopTimeout is the time limit for a part to end: the Collector writes its queues,
	// the nodes their memory.
	stopTimeout = 20 * time.Second
	// pollInterval is the interval of readiness checks.
	pollInterval = 50 * time.Millisecond
)

// running is a part that was started.
type running struct {
	part
	log    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// run starts the parts stage by stage, waits for the end of the context or of a part,
// and stops all in reverse order.
func (s *stack) run(ctx context.Context, parts []part) error {
	if err := s.free(ctx, parts); err != nil {
		return err
	}
	logs := filepath.Join(s.root, s.folder, "logs")
	for _, folder := range []string{logs, filepath.Join(s.root, s.folder, "data")} {
		if err := os.MkdirAll(folder, 0o750); err != nil {
			return err
		}
	}
	began := time.Now()
	ended := make(chan *running, len(parts))
	var started []*running
	defer func() { s.stop(started) }()
	for stage := 0; len(started) < len(parts); stage++ {
		first := len(started)
		for _, p := range parts {
			if p.stage != stage {
				continue
			}
			r, err := s.start(p, logs, ended)
			if err != nil {
				return err
			}
			started = append(started, r)
		}
		for _, r := range started[first:] {
			if err := r.await(ctx); err != nil {
				if ctx.Err() != nil {
					return nil // Stopped before it was ready.
				}
				return err
			}
		}
	}
	fmt.Fprintf(s.output, "\nThe stack is up after %.1f s; Ctrl-C stops it.\n\n", time.Since(began).Seconds())
	for _, r := range started {
		fmt.Fprintf(s.output, "  %-11s %-60s %s\n", r.name, r.look, r.log)
	}
	fmt.Fprintf(s.output, "\nThe data is in %s; delete it to start over.\n", filepath.Join(s.folder, "data"))
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.output, "\nStopping.")
		return nil
	case r := <-ended:
		return r.failure("ended by itself")
	}
}

// free returns an error that names every address in use, nil for none.
func (s *stack) free(ctx context.Context, parts []part) error {
	var taken []error
	for _, p := range parts {
		for _, address := range p.listens {
			listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
			if err != nil {
				_, port, _ := net.SplitHostPort(address)
				taken = append(taken, fmt.Errorf("%s cannot listen on %s: %w; find the program with `ss -ltnp 'sport = :%s'`", p.name, address, err, port))
				continue
			}
			_ = listener.Close()
		}
	}
	if len(taken) > 0 {
		return fmt.Errorf("nothing was started; stop the other programs, or shift all ports with SHIFT=10000:\n%w", errors.Join(taken...))
	}
	return nil
}

// start starts one part. Its output goes to its log; the log of the previous run is
// kept as .log.1.
func (s *stack) start(p part, logs string, ended chan<- *running) (*running, error) {
	path := filepath.Join(logs, p.name+".log")
	if err := os.Rename(path, path+".1"); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	log, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	// Not ended by the context, because stop ends the parts in order.
	cmd := exec.CommandContext(context.Background(), p.command[0], p.command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.root, log, log
	cmd.Env = append(os.Environ(), p.env...)
	// In its own group Ctrl-C does not reach it, and its children end with it.
	cmd.SysProcAttr = programs.OwnGroup()
	r := &running{part: p, log: filepath.Join(s.folder, "logs", p.name+".log"), cmd: cmd, exited: make(chan struct{})}
	err = cmd.Start()
	_ = log.Close() // The program has its own descriptor.
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		_ = cmd.Wait() // cmd.ProcessState has the result.
		close(r.exited)
		ended <- r
	}()
	return r, nil
}

// await waits until the part is ready.
func (r *running) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.ready, nil)
		if err != nil {
			return err
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode/100 == 2 {
				return nil
			}
		}
		select {
		case <-r.exited:
			return r.failure("ended before it was ready")
		case <-ctx.Done():
			return r.failure(fmt.Sprintf("was not ready within %s", readyTimeout))
		case <-ticker.C:
		}
	}
}

// failure returns an error with the last lines of the part's log.
func (r *running) failure(what string) error {
	var last string
	if text, err := os.ReadFile(filepath.Join(r.cmd.Dir, r.log)); err == nil {
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		last = "\n" + strings.Join(lines[max(0, len(lines)-5):], "\n")
	}
	select {
	case <-r.exited:
		return fmt.Errorf("%s %s (%s); the end of %s:%s", r.name, what, r.cmd.ProcessState, r.log, last)
	default:
		return fmt.Errorf("%s %s; the end of %s:%s", r.name, what, r.log, last)
	}
}

// stop ends the parts in reverse order, so that each can send its remaining data.
func (s *stack) stop(started []*running) {
	for _, r := range slices.Backward(started) {
		_ = programs.SignalGroup(r.cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-r.exited:
		case <-time.After(stopTimeout):
			fmt.Fprintf(s.output, "%s did not end within %s and is killed\n", r.name, stopTimeout)
			_ = programs.SignalGroup(r.cmd.Process.Pid, syscall.SIGKILL)
			<-r.exited
		}
	}
}
