package wine

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// slow are the longest limits that a tick allows: Wine's first calls take long.
var slow = []string{
	"--instruments.disk.timeout=900ms", "--instruments.network.timeout=900ms", "--instruments.process.timeout=900ms",
	"--instruments.processes.timeout=900ms", "--instruments.filesystem.timeout=900ms", "--instruments.paging.timeout=900ms",
}

// current is the part of /api/v1/metrics/current that the tests look at.
type current struct {
	Tick int
	CPU  struct {
		UsagePercent *float64 `json:"usage_percent"`
	}
	Memory struct{ Total, Available uint64 }
	Disk   struct {
		IO struct {
			Write *float64 `json:"write_bytes_per_sec"`
		}
		Devices []struct {
			Name  string
			Write *float64 `json:"write_bytes_per_sec"`
		}
		Filesystems []struct {
			Mountpoint  string
			Total, Used uint64
		}
	}
	Network struct{ Interfaces []struct{ Name string } }
}

// newest waits for a reading that began after the call.
func (p *prefix) newest(address string) (c current) {
	p.t.Helper()
	var before current
	p.eventually("a reading", func() error { return p.get(address, "/api/v1/metrics/current", &before) })
	p.eventually("a new reading", func() error {
		c = current{}
		err := p.get(address, "/api/v1/metrics/current", &c)
		if err == nil && c.Tick < max(3, before.Tick+2) {
			err = fmt.Errorf("tick %d after %d", c.Tick, before.Tick)
		}
		return err
	})
	return c
}

// startAgent starts the agent and returns a function that kills it.
func (p *prefix) startAgent(address string) (kill func()) {
	p.t.Helper()
	cmd := p.command("wine", append([]string{p.agent, "run", "--http.listen", address, "--prometheus.listen", p.address(), "--data-dir", `C:\data`}, slow...)...)
	cmd.Stdout = &p.said
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	p.t.Cleanup(kill)
	return kill
}

// TestWindows is one story in order, with one Windows, since making one takes time.
func TestWindows(t *testing.T) {
	p := newPrefix(t)
	address := p.address()
	began := time.Now()
	kill := p.startAgent(address)
	p.newest(address)

	p.sub("memory", func(t *testing.T) {
		// Other programs of this machine take memory and give it back meanwhile.
		var off float64
		for range 5 {
			before := p.truth("memory")
			c := p.newest(address)
			after := p.truth("memory")
			if c.Memory.Total != before.Total {
				t.Fatalf("total is %d, GlobalMemoryStatusEx says %d", c.Memory.Total, before.Total)
			}
			low, high := float64(min(before.Available, after.Available)), float64(max(before.Available, after.Available))
			got := float64(c.Memory.Available)
			if off = max(low-got, got-high, 0) / float64(before.Total); off < 0.01 {
				return
			}
		}
		t.Errorf("available is wrong by %.1f %% of the memory", 100*off)
	})

	p.sub("processor time", func(t *testing.T) {
		burnt := p.truth("burn 1500ms")
		c := p.newest(address)
		if u := c.CPU.UsagePercent; u == nil || *u < 0 || *u > 100 {
			t.Errorf("the machine's usage is %v", u)
		}
		row := p.process(address, "truth.exe")
		now := p.truth("cpu")
		if row.PID != burnt.PID {
			t.Errorf("its process is %d, want %d", row.PID, burnt.PID)
		}
		if row.CPUSeconds < burnt.Seconds-0.02 || row.CPUSeconds > now.Seconds+0.02 {
			t.Errorf("it used %.2f s, GetProcessTimes says %.2f to %.2f", row.CPUSeconds, burnt.Seconds, now.Seconds)
		}
		// Wine counts no bytes of processes: nobody has written 0.
		if row.WriteBytesPerSec != nil || row.Threads < 1 || row.MemoryRSS < 1<<20 || row.User == "" {
			t.Errorf("its row is %+v", row)
		}
	})

	p.sub("bytes", func(t *testing.T) {
		used := func() uint64 {
			c := p.newest(address)
			for _, f := range c.Disk.Filesystems {
				if f.Mountpoint == drive {
					return f.Used
				}
			}
			t.Fatalf("%s is not among the file systems: %+v", drive, c.Disk.Filesystems)
			return 0
		}
		before := used()
		const size = 24 << 20
		wrote := p.truth(fmt.Sprintf(`write %s\file %d`, drive, size))
		if grown := int64(used() - before); math.Abs(float64(grown-wrote.Written)) > 64<<10 {
			t.Errorf("%s has grown by %d bytes, %d were written", drive, grown, wrote.Written)
		}
	})

	p.sub("unknown, not failed", func(t *testing.T) {
		// Wine knows no IOCTL_DISK_PERFORMANCE.
		c := p.newest(address)
		if c.Disk.IO.Write != nil || len(c.Disk.Devices) == 0 || c.Disk.Devices[0].Name != "C:" || c.Disk.Devices[0].Write != nil {
			t.Errorf("the disks are %+v, %v", c.Disk.Devices, c.Disk.IO.Write)
		}
		if len(c.Network.Interfaces) == 0 {
			t.Error("there are no interfaces")
		}
		p.isWell(address)
	})

	p.sub("commands", func(t *testing.T) {
		for _, command := range [][]string{{"health", "--data-dir", `C:\data`}, {"top", "--once", "--data-dir", `C:\data`}, {"user", "list", "--data-dir", `C:\data`}} {
			if output, err := p.run(command...); err != nil || output == "" {
				t.Errorf("%v: %q, %v", command, output, err)
			}
		}
		// A whole backup ends with Go's os.RemoveAll of directories, for which Wine 8 lacks a
		// call that Windows has ("Invalid function").
		if _, err := p.run("backup", `C:\data\copy`, "--data-dir", `C:\data`); err == nil || !strings.Contains(err.Error(), "is in the agent's data directory") {
			t.Errorf("a backup into the data directory: %v", err)
		}
		if token, err := p.run("token", "add", "script", "--role", "admin", "--data-dir", `C:\data`); err != nil || !strings.HasPrefix(token, "sysotel_") {
			t.Errorf("a token: %q, %v", token, err)
		}
		if _, err := p.run("run", "--http.listen", p.address(), "--prometheus.listen", p.address(), "--data-dir", `C:\data`); err == nil || !strings.Contains(err.Error(), "another sysotel runs") {
			t.Errorf("a second agent: %v", err)
		}
	})

	p.sub("page", func(*testing.T) { p.showPage(address) })

	p.sub("kill and restart", func(t *testing.T) {
		killed := p.newest(address)
		kill()
		died := time.Now()
		p.startAgent(address)
		p.newest(address)
		var history struct {
			Series []struct{ Avg []*float64 }
		}
		p.eventually("the history", func() error {
			return p.get(address, fmt.Sprintf("/api/v1/metrics/memory?metric=memory_used&start=%d&end=%d&step=1s", began.Unix(), died.Unix()), &history)
		})
		known := 0
		for _, s := range history.Series {
			for _, v := range s.Avg {
				if v != nil && *v > 0 {
					known++
				}
			}
		}
		// The last second may be lost; what Wine was too slow to measure never was.
		if known < killed.Tick*8/10 || known == 0 {
			t.Errorf("%d seconds of the %d before the kill are kept", known, killed.Tick)
		}
		if output, err := p.run("token", "list", "--data-dir", `C:\data`); err != nil || !strings.Contains(output, "script") {
			t.Errorf("the tokens after the kill: %q, %v", output, err)
		}
	})

	p.sub("service", p.service)
}

// sub runs a part of the story, in which the prefix reports to the part's test.
func (p *prefix) sub(name string, f func(*testing.T)) {
	p.t.Run(name, func(t *testing.T) {
		whole := p.t
		p.t = t
		defer func() { p.t = whole }()
		f(t)
	})
}

// service installs, starts, stops and removes the agent by the service manager.
func (p *prefix) service(t *testing.T) {
	if output, err := p.run("service", "start"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("a service that is not there starts: %s, %v", output, err)
	}
	if output, err := p.run("service", "install", "--sampling.interval=x"); err == nil || !strings.Contains(err.Error(), "sampling.interval") {
		t.Errorf("a wrong option is installed: %s, %v", output, err)
	}
	address := p.address()
	steps := func(want string, args ...string) {
		t.Helper()
		if output, err := p.run(append([]string{"service"}, args...)...); err != nil || !strings.Contains(output, want) {
			t.Fatalf("service %v: %q, %v; want %q", args, output, err, want)
		}
	}
	steps("is installed", append([]string{"install", "--http.listen", address, "--prometheus.listen", p.address()}, slow...)...)
	if _, err := p.run("service", "install"); err == nil || !strings.Contains(err.Error(), "already installed") {
		t.Errorf("it is installed twice: %v", err)
	}
	steps("stopped", "status")
	steps("runs as process", "start")
	steps("running, process", "status")
	p.newest(address)
	p.isWell(address)
	// The commands find it: both take an administrator's data directory for theirs.
	if output, err := p.run("top", "--once"); err != nil || !strings.Contains(output, "sysotel.exe") {
		t.Errorf("top: %s, %v", output, err)
	}
	// A file as programs on Windows write it, which the reload finds where it belongs.
	file := filepath.Join(p.dir, "drive_c/ProgramData/sysotel/sysotel.yaml")
	text := "\ufeffalerting:\r\n  thresholds:\r\n    - {name: FromReload, metric: memory_percent, op: \">\", threshold: 101}\r\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	steps("reads its configuration", "reload")
	p.eventually("the rule of the changed file", func() error {
		var list struct{ Rules []struct{ Name string } }
		if err := p.get(address, "/api/v1/alerts/rules", &list); err != nil {
			return err
		}
		for _, r := range list.Rules {
			if r.Name == "FromReload" {
				return nil
			}
		}
		return fmt.Errorf("the rules are %v", list.Rules)
	})
	steps("has stopped", "stop")
	steps("stopped", "status")
	if err := p.get(address, "/api/v1/health", new(any)); err == nil {
		t.Error("it answers after it has stopped")
	}
	steps("runs as process", "start")
	steps("is removed", "remove")
	if output, err := p.run("service", "status"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("after remove: %s, %v", output, err)
	}
	if err := p.get(address, "/api/v1/health", new(any)); err == nil {
		t.Error("it answers after it was removed")
	}
	for _, kept := range []string{"lock", "records", "store"} {
		if _, err := os.Stat(filepath.Join(p.dir, "drive_c/ProgramData/sysotel/data", kept)); err != nil {
			t.Errorf("its data are gone: %v", err)
		}
	}
}

// isWell fails unless no collector has failed.
func (p *prefix) isWell(address string) {
	p.t.Helper()
	type part struct{ Name, Status, Reason string }
	var health struct{ Parts []part }
	p.eventually("health", func() error {
		health.Parts = nil
		if err := p.get(address, "/api/v1/health", &health); err != nil {
			return err
		}
		if i := slices.IndexFunc(health.Parts, func(c part) bool { return c.Status != "ok" }); i >= 0 {
			return fmt.Errorf("%+v", health.Parts[i])
		}
		return nil
	})
}

// row is a row of the process table.
type row struct {
	Name             string
	PID              int
	User             string
	CPUSeconds       float64  `json:"cpu_seconds"`
	MemoryRSS        uint64   `json:"memory_rss"`
	Threads          int      `json:"num_threads"`
	WriteBytesPerSec *float64 `json:"write_bytes_per_sec"`
}

// process is the row of a program.
func (p *prefix) process(address, name string) row {
	p.t.Helper()
	var table struct{ Processes []row }
	if err := p.get(address, "/api/v1/metrics/processes?top=100", &table); err != nil {
		p.t.Fatal(err)
	}
	i := slices.IndexFunc(table.Processes, func(r row) bool { return r.Name == name })
	if i < 0 {
		p.t.Fatalf("%s is not in %+v", name, table.Processes)
	}
	return table.Processes[i]
}

// drive is one on which only the tests write.
const drive = "T:"

// mountDrive gives Windows the drive.
func (p *prefix) mountDrive() {
	p.t.Helper()
	dir := filepath.Join(p.root, "drive")
	if err := os.Mkdir(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := syscall.Mount("sysotel", dir, "tmpfs", 0, "size=64m"); err != nil {
		missing(p.t, "only root can mount a drive that is this test's own: "+err.Error())
	}
	p.t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.Symlink(dir, filepath.Join(p.dir, "dosdevices", strings.ToLower(drive))); err != nil {
		p.t.Fatal(err)
	}
}

// showPage opens the dashboard in a browser, until it shows a reading that is live.
func (p *prefix) showPage(address string) {
	t := p.t
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		missing(t, "there is no Chromium; Debian's package chromium has one")
	}
	if _, err := os.Stat("../../dashboards/web/dist/index.html"); err != nil {
		missing(t, "the web app is not built; make build does")
	}
	allocated, stop := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer stop()
	ctx, closeBrowser := chromedp.NewContext(allocated)
	defer closeBrowser()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var text string
	if err := chromedp.Run(ctx, chromedp.Navigate("http://"+address+"/?range=5m"),
		chromedp.WaitVisible(".status strong"), chromedp.WaitVisible(".meter"),
		chromedp.Poll(`document.querySelector('.liveness.on') && document.querySelector('#panel-cpu .plot')?.dataset.newest`, nil),
		chromedp.Text("body", &text)); err != nil {
		t.Fatalf("the page: %v; it says %.500q", err, text)
	}
	if !strings.Contains(text, "%") {
		t.Errorf("the page has no numbers: %.500q", text)
	}
}
