package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// churn makes and ends things under new names: programs, five a second, of which most live
// for two seconds and one in twenty-five for ten minutes; a custom metric with other labels
// every second; and where the test may, network interfaces, one in five seconds.
type churn struct {
	t        *testing.T
	dir      string
	running  sync.WaitGroup
	programs int
	// interfaces are those that are there, unable is set where none can be made.
	interfaces []string
	unable     error
}

// textfiles is the folder of its custom metrics.
func (c *churn) textfiles() string { return filepath.Join(c.dir, "textfile") }

// program starts a program that lives for so many seconds.
func (c *churn) program(ctx context.Context, sleep string, seconds int) {
	c.programs++
	link := filepath.Join(c.dir, fmt.Sprintf("c%d-%d", os.Getpid(), c.programs)) // The name is that of the link.
	if err := os.Symlink(sleep, link); err != nil {
		c.t.Error(err)
		return
	}
	command := exec.CommandContext(ctx, link, fmt.Sprint(seconds))
	if err := command.Start(); err != nil {
		c.t.Error(err)
		return
	}
	c.running.Go(func() {
		_ = command.Wait() // It may be killed at the end of the test.
		_ = os.Remove(link)
	})
}

// custom writes metrics of a hundred names, twenty of which are new.
func (c *churn) custom(second int) {
	text := "# TYPE churn_jobs gauge\n"
	for i := range 100 {
		text += fmt.Sprintf("churn_jobs{job=\"j%d\"} %d\n", 20*second+i, i)
	}
	path := filepath.Join(c.textfiles(), "churn.prom")
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		c.t.Error(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		c.t.Error(err)
	}
}

// link makes a network interface, and ends the oldest of more than ten.
func (c *churn) link(second int) {
	if c.unable != nil {
		return
	}
	name := fmt.Sprintf("ch%d-%d", os.Getpid()%10_000, second)
	if c.unable = exec.CommandContext(c.t.Context(), "ip", "link", "add", name, "type", "dummy").Run(); c.unable != nil {
		c.t.Logf("without network interfaces that come and go: %v", c.unable)
		return
	}
	c.interfaces = append(c.interfaces, name)
	if len(c.interfaces) > 10 {
		c.unlink(c.interfaces[0])
		c.interfaces = c.interfaces[1:]
	}
}

func (c *churn) unlink(name string) {
	if err := exec.CommandContext(context.WithoutCancel(c.t.Context()), "ip", "link", "del", name).Run(); err != nil {
		c.t.Errorf("end interface %s: %v", name, err)
	}
}

// run makes them until the context ends.
func (c *churn) run(ctx context.Context) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		c.t.Error(err)
		return
	}
	defer c.running.Wait()
	defer func() {
		for _, name := range c.interfaces {
			c.unlink(name)
		}
	}()
	fifth := time.NewTicker(time.Second / 5)
	defer fifth.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-fifth.C:
		}
		seconds := 2
		if n%25 == 0 {
			seconds = 600
			c.link(n / 5)
		}
		c.program(ctx, sleep, seconds)
		if n%5 == 0 {
			c.custom(n / 5)
		}
	}
}

const (
	// churnSettles is how long the agent's memory may grow, churnSlack how much more it may
	// be at the end than then, in bytes.
	churnSettles = 15 * time.Minute
	churnSlack   = 5 << 20
	// churnPassing is what it may take beyond the limit for a moment, in bytes: the library
	// writes a block with that much in buffers.
	churnPassing = 16 << 20
)

// TestChurn runs an agent beside programs, custom metrics and interfaces that come and go
// under new names, for as long as SYSOTEL_TEST_SOAK says, six hours in make soak. Its
// memory stays below memory.limit, and grows no more after a quarter of an hour.
func TestChurn(t *testing.T) {
	if os.Getenv("SYSOTEL_TEST_SOAK") == "" {
		t.Skip("set SYSOTEL_TEST_SOAK=20m or more to run it")
	}
	for name, value := range map[string]string{"GOGC": "50", "GOMAXPROCS": "2"} { // As main does.
		t.Setenv(name, value)
	}
	length := soakLength(t)
	c := configure(t)
	made := &churn{t: t, dir: t.TempDir()}
	if err := os.Mkdir(made.textfiles(), 0o755); err != nil {
		t.Fatal(err)
	}
	a := spawn(t, "agent", "churnagent", nil, append(sameFlags(c), "--custom.textfile="+made.textfiles())...)
	client := unixClient(c)
	first := awaitTick(t, client, 5)
	ctx, stop := context.WithTimeout(t.Context(), length+time.Minute)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { made.run(ctx) })

	var minutes []uint64
	smaps := fmt.Sprintf("/proc/%d/smaps_rollup", a.PID())
	used := processorSeconds(t, a.PID())
	for minute := 1; time.Duration(minute)*time.Minute <= length; minute++ {
		awaitTick(t, client, first.Tick+uint64(minute*60))
		resident, err := residentBytes(smaps)
		if err != nil {
			t.Fatal(err)
		}
		minutes = append(minutes, resident)
		now := processorSeconds(t, a.PID())
		page := scrape(t, client)
		sum := func(name string) float64 { v, _ := page.sum(name); return v }
		t.Logf("minute %d: %.1f MB resident, %.2f %% of a core, %d programs named, %.0f things added up as others, %.0f series",
			minute, float64(resident)/1e6, (now-used)*100/60, len(page["sysotel_process_count"].GetMetric()), sum("sysotel_family_folded"), sum("sysotel_store_series"))
		used = now
	}
	if most := slices.Max(minutes); most > uint64(c.Memory.Limit)+churnPassing { //nolint:gosec // It is valid.
		t.Errorf("%.1f MB were resident, memory.limit is %.1f MB", float64(most)/1e6, float64(c.Memory.Limit)/1e6)
	}
	settled := minutes[min(int(churnSettles/time.Minute), len(minutes)-1):]
	if len(settled) < 4 {
		return
	}
	quarter := len(settled) / 4
	mean := func(of []uint64) (sum float64) {
		for _, v := range of {
			sum += float64(v)
		}
		return sum / float64(len(of))
	}
	from, to := mean(settled[:quarter]), mean(settled[len(settled)-quarter:])
	t.Logf("%.1f MB after %s, %.1f MB at the end, after %d programs", from/1e6, churnSettles, to/1e6, made.programs)
	if to > from+churnSlack {
		t.Errorf("resident memory grew from %.1f to %.1f MB", from/1e6, to/1e6)
	}
}
