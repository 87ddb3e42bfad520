package browser

import (
	"context"
	"flag"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"sysotel/otel-collector/programs"
)

var takePicture = flag.Bool("picture", false, "rewrite the README's picture of the dashboard")

// TestPicture checks the README's picture. Pixels differ between machines, so it
// is taken anew only with -picture.
func TestPicture(t *testing.T) {
	const path, width, maxBytes = "../../.github/dashboard.png", 1280, 200_000
	if *takePicture {
		if err := os.WriteFile(path, picture(t, look{width: width, height: 1250, scheme: "dark", still: true}), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > maxBytes {
		t.Errorf("%s has %d bytes, at most %d are allowed", path, info.Size(), maxBytes)
	}
	if size, err := png.DecodeConfig(file); err != nil || size.Width != width {
		t.Errorf("%s is %d pixels wide (%v), want %d", path, size.Width, err, width)
	}
}

// picture shows the overview of a simulated web server: the machine that runs the
// tests is either idle or busy with tests.
func picture(t *testing.T, l look) (image []byte) {
	t.Helper()
	const host = "web-1"
	_, node := programs.StartVictoriaMetrics(t, "-retentionPeriod=1d", "-search.latencyOffset=0s")
	load(t, node, host, webServer())
	browser := startBrowser(t)
	a := startAgent(t, "--host.name=monitor", "--store.backend=victoriametrics", "--store.victoriametrics=1s="+node+",1m="+node+",5m="+node+",1h="+node)
	a.ticks(3)
	b := open(browser, t, a.url, l)
	b.visit("/?host=" + host)
	for _, panel := range []string{"cpu", "memory", "disk_io_total", "network_total", "cpu_modes", "memory_parts"} {
		b.drawn(panel, func(c *chart) bool { return c.Ink > 0 })
	}
	b.waitFor(`document.querySelectorAll('.meter').length === 8 && document.querySelector('.status strong')`)
	var bottom float64
	b.eval(`document.querySelector('#panel-memory_parts').getBoundingClientRect().bottom`, &bottom)
	b.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		image, err = page.CaptureScreenshot().WithClip(&page.Viewport{Width: float64(l.width), Height: math.Ceil(bottom) + 8, Scale: 1}).Do(ctx)
		return err
	}))
	return image
}

// webServer is an hour of a web server with 16 processors: some traffic, a deploy
// and a backup.
func webServer() []*line {
	const gib, mib, step = 1 << 30, 1 << 20, 2 * time.Second
	noise := rand.New(rand.NewPCG(1, 2))
	var lines []*line
	series := func(name string, pairs ...string) *line {
		one := &line{Metric: map[string]string{"__name__": name}}
		for i := 0; i < len(pairs); i += 2 {
			one.Metric[pairs[i]] = pairs[i+1]
		}
		lines = append(lines, one)
		return one
	}
	states := []string{"user", "system", "nice", "interrupt", "softirq", "steal", "wait"}
	modes, pressure := map[string]*line{}, map[string]*line{}
	for _, state := range states {
		modes[state] = series("sysotel_cpu_state_usage_ratio", "state", state)
	}
	for _, resource := range []string{"cpu", "memory", "io"} {
		pressure[resource] = series("sysotel_pressure_utilization_ratio", "resource", resource, "kind", "some")
	}
	usage, load1 := series("sysotel_cpu_usage_ratio"), series("system_cpu_load_average_1m")
	used, usedBytes := series("system_memory_utilization_ratio", "state", "used"), series("system_memory_usage_bytes", "state", "used")
	freeBytes, available := series("system_memory_usage_bytes", "state", "free"), series("system_linux_memory_available_bytes")
	read, written := series("sysotel_disk_io_rate_bytes_per_second", "direction", "read"), series("sysotel_disk_io_rate_bytes_per_second", "direction", "write")
	received, sent := series("sysotel_network_io_rate_bytes_per_second", "direction", "receive"), series("sysotel_network_io_rate_bytes_per_second", "direction", "transmit")
	busyDisk := series("sysotel_disk_busy_ratio", "device", "nvme0n1")
	constant := map[*line]float64{
		series("sysotel_agent_info", "host_id", "web-1", "version", "1.0"): 1,
		series("system_cpu_logical_count"):                                 16,
		series("system_uptime_seconds"):                                    19*24*3600 + 5*3600,
		series("system_memory_limit_bytes"):                                64 * gib,
		series("sysotel_swap_limit_bytes"):                                 8 * gib,
		series("sysotel_swap_usage_bytes"):                                 0.3 * gib,
		series("sysotel_swap_utilization_ratio"):                           0.3 / 8,
	}
	disk := []string{"device", "/dev/nvme0n1", "mountpoint", "/", "type", "ext4"}
	constant[series("sysotel_disk_utilization_ratio", disk...)] = 0.68
	constant[series("sysotel_disk_free_bytes", disk...)] = 160 * gib
	constant[series("sysotel_disk_limit_bytes", disk...)] = 500 * gib
	// bump rises to 1 between two minutes of the hour, with soft edges.
	bump := func(minute, from, to float64) float64 {
		soft := func(x float64) float64 { return 1 / (1 + math.Exp(-6*x)) }
		return soft(minute-from) * soft(to-minute)
	}
	jitter := func(size float64) float64 { return 1 + size*noise.NormFloat64() }
	now := time.Now().Truncate(step)
	loadAverage := 4.0
	for at := now.Add(-time.Hour - time.Minute); at.Before(now.Add(5 * time.Minute)); at = at.Add(step) {
		minute := 60 + at.Sub(now).Minutes()
		traffic := (1 + 0.18*math.Sin(minute/9) + 0.1*math.Sin(minute/2.3)) * jitter(0.07)
		deploy, backup := bump(minute, 17, 20), bump(minute, 38, 46)
		cron := bump(math.Mod(minute+61, 10), 4, 4.6)
		busy := min(0.97, (0.24*traffic+0.52*deploy+0.09*backup+0.2*cron)*jitter(0.06))
		wait := (0.004 + 0.06*backup) * jitter(0.3)
		memory := 0.43 + 0.006*math.Mod(minute+120, 21) + 0.06*deploy + 0.004*math.Sin(minute*2)
		for state, share := range map[string]float64{"user": 0.7, "system": 0.2, "nice": 0.02, "interrupt": 0.01, "softirq": 0.06, "steal": 0.01} {
			modes[state].add(at, share*busy)
		}
		modes["wait"].add(at, wait)
		usage.add(at, busy)
		loadAverage += (16*busy*1.1 - loadAverage) / 30
		load1.add(at, loadAverage)
		used.add(at, memory)
		usedBytes.add(at, memory*64*gib)
		available.add(at, (1-memory)*64*gib)
		freeBytes.add(at, (0.2-0.1*backup*(minute-38)/8)*64*gib)
		read.add(at, max(0, 6*traffic+170*backup*jitter(0.12))*mib)
		written.add(at, max(0, 14*traffic*jitter(0.3)+60*deploy*jitter(0.2))*mib)
		received.add(at, 2.1*traffic*jitter(0.06)*mib)
		sent.add(at, (6.4*traffic*jitter(0.06)+9*backup*jitter(0.05))*mib)
		busyDisk.add(at, min(1, max(0, (0.08*traffic+0.55*backup+0.2*deploy)*jitter(0.1))))
		pressure["cpu"].add(at, max(0, (0.03*traffic+0.3*deploy)*jitter(0.2)))
		pressure["memory"].add(at, 0)
		pressure["io"].add(at, max(0, (0.01+0.12*backup)*jitter(0.2)))
		for one, value := range constant {
			one.add(at, value)
		}
	}
	return lines
}
