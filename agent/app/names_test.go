//go:build linux

package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// newNames starts programs under new names until the context ends, so many a second;
// each lives for two seconds.
func newNames(ctx context.Context, t *testing.T, perSecond int) (started int) {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var running sync.WaitGroup
	defer running.Wait()
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return started
		case <-ticker.C:
		}
		started++
		// The name is that of the link.
		link := filepath.Join(dir, fmt.Sprintf("n%d-%d", os.Getpid(), started))
		if err := os.Symlink(sleep, link); err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), link, "2")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			_ = c.Wait() // It may be killed at the end of the test.
			_ = os.Remove(link)
		})
	}
}

// namesCost is what an agent used.
type namesCost struct {
	resident uint64
	cpu      float64 // Percent of a core.
	missed   float64 // Of the seconds, in percent.
}

// measureNames runs an agent for a time, in which perSecond new names appear.
func measureNames(t *testing.T, name string, length time.Duration, perSecond int) namesCost {
	t.Helper()
	c := configure(t)
	path := filepath.Join(c.DataDir, "names.log")
	a := spawn(t, "agent", name, nil, append(sameFlags(c), "--log.file="+path, "--log.format=json")...)
	client := unixClient(c)
	first := awaitTick(t, client, 5)
	used, began := processorSeconds(t, a.PID()), time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	started := 0
	if perSecond > 0 {
		started = newNames(ctx, t, perSecond)
	}
	last := awaitTick(t, client, first.Tick+uint64(length.Seconds()))
	used = processorSeconds(t, a.PID()) - used
	missed := readJournal(t, path).missed(t)
	cost := namesCost{
		resident: a.size(t, client).Resident, cpu: 100 * used / time.Since(began).Seconds(),
		missed: 100 * float64(len(missed)) / float64(last.Tick-first.Tick+uint64(len(missed))),
	}
	named := len(scrape(t, client)["sysotel_process_count"].GetMetric())
	t.Logf("%s: %d new names, of %d programs shown; %.1f MB resident, %.2f %% of a core, %.2f %% of the seconds missed",
		name, started, named, float64(cost.resident)/1e6, cost.cpu, cost.missed)
	if named == 0 || named > 151 {
		t.Errorf("%s: %d programs are shown", name, named)
	}
	return cost
}

// processorSeconds is the CPU time that a process has used.
func processorSeconds(t *testing.T, pid int) float64 {
	t.Helper()
	text := slurp(t, fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return (numberOf(t, fields[11]) + numberOf(t, fields[12])) / 100
}

// TestSoakNames compares an agent on a machine where programs come and go under new
// names with one where they do not. In the long version that is five a second for the
// soak's length; the short one has as many names in half a minute.
func TestSoakNames(t *testing.T) {
	length, perSecond := 30*time.Second, 60
	long := os.Getenv("SYSOTEL_TEST_SOAK") != ""
	if long {
		length, perSecond = soakLength(t), 5
	}
	quiet := measureNames(t, "namesquiet", length/2, 0)
	busy := measureNames(t, "namesbusy", length, perSecond)
	if busy.resident > quiet.resident+40<<20 {
		t.Errorf("%d bytes are resident, %d without new names", busy.resident, quiet.resident)
	}
	if busy.missed > 2*quiet.missed+1 {
		t.Errorf("%.2f %% of the seconds are missed, %.2f %% without new names", busy.missed, quiet.missed)
	}
	// In the short version the agent reads the names of sixty processes a second.
	if long && busy.cpu > 2*quiet.cpu+0.1 {
		t.Errorf("%.2f %% of a core, %.2f %% without new names", busy.cpu, quiet.cpu)
	}
}
