//go:build linux

package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/api"
)

// container makes a container without a container runtime: its own root, network, host
// name and PIDs, control groups with limits, and the host's files at /host. It then
// executes the program.
const container = `
set -e
root=$1; groups=$2; program=$(readlink -f "$3"); shift 3
for group in $groups; do echo 0 > "$group/cgroup.procs"; done
mount --make-rprivate /
hostname inside
mount -t tmpfs none "$root"
cd "$root"
mkdir host proc sys usr lib lib64 bin
for dir in usr lib lib64 bin; do [ ! -d "/$dir" ] || mount --bind "/$dir" "$dir"; done
mount --rbind / host
mount -t proc proc proc
mount -t sysfs sysfs sys
exec chroot . "/host$program" "$@"
`

const (
	groupMemory = 512 << 20
	groupCPUs   = 1.5
)

// TestContainer runs an agent in a container with limits: it reports the host's
// numbers, and its own limits separately.
func TestContainer(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	groups := limitedGroups(t)
	c := configure(t)
	inside := spawn(t, "agent", "containeragent",
		[]string{
			"unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child",
			"sh", "-c", container, "sh", t.TempDir(), strings.Join(groups, " "),
		},
		"--data-dir=/host"+c.DataDir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0",
	)
	client := unixClient(c)
	awaitTick(t, client, 3)
	if !strings.Contains(inside.Output(), "root=/host") {
		t.Errorf("the agent did not find the host at /host:\n%s", inside.Output())
	}

	got, own, page := current(t, client), readMachine(t), scrape(t, client)
	checkHost(t, got, own)
	for device, bytes := range interfaceBytes(t) {
		seen, ok := page.sum("system_network_io_bytes_total", "device", device, "direction", "receive")
		if !ok || seen > bytes || seen < 0.9*bytes-1<<20 {
			t.Errorf("the agent reports %g bytes received on %s, the host has %g", seen, device, bytes)
		}
	}
	table := processes(t, client, fmt.Sprintf("top=1000&q=%d", os.Getpid()))
	if !slices.ContainsFunc(table.Processes, func(p api.ProcessRow) bool { return p.PID == os.Getpid() }) {
		t.Errorf("the agent does not list this test, process %d of the host", os.Getpid())
	}
	checkLimits(t, got)

	// An agent on the host itself reports the same.
	bare := run(t, configure(t))
	bare.ticks(2)
	checkHost(t, current(t, bare.socket), own)
}

// checkHost compares /current with the host.
func checkHost(t *testing.T, got *api.Current, own *machine) {
	t.Helper()
	if got.Scope != "host" {
		t.Errorf("the scope of the numbers is %q", got.Scope)
	}
	if name, err := os.ReadFile("/etc/hostname"); err == nil && got.Hostname != strings.TrimSpace(string(name)) {
		t.Errorf("the host name is %q, the agent reports %q", name, got.Hostname)
	}
	if want := bootTime(t); got.BootTime == nil || !got.BootTime.Equal(want) {
		t.Errorf("the machine booted at %s, the agent reports %v", want, got.BootTime)
	}
	equal(t, float64(got.CPU.Count), float64(len(own.cpu)-1))
	equal(t, float64(got.Memory.Total), own.memory["MemTotal"])
	equal(t, float64(got.Memory.Swap.Total), own.memory["SwapTotal"])
	if used := float64(got.Memory.Used); math.Abs(used-own.memoryUsed()) > 0.3*own.memoryUsed() {
		t.Errorf("%g bytes of memory are used, the agent reports %g", own.memoryUsed(), used)
	}
	if math.Abs(float64(got.UptimeSeconds)-own.uptime) > 5 {
		t.Errorf("the uptime is %g s, the agent reports %g", own.uptime, float64(got.UptimeSeconds))
	}
	root := mounted(t, got, "/")
	if want := mountSource(t, "/"); root.Device != want {
		t.Errorf("%s is mounted at /, the agent reports %s", want, root.Device)
	}
	var names []string
	for _, i := range got.Network.Interfaces {
		names = append(names, i.Name)
	}
	for name := range interfaceBytes(t) {
		if !slices.Contains(names, name) {
			t.Errorf("the host has the interface %s, the agent reports %v", name, names)
		}
	}
	directories, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	if n, total := float64(len(directories)), float64(got.Processes.Total); math.Abs(n-total) > 0.2*n+10 {
		t.Errorf("the host has %g processes, the agent reports %g", n, total)
	}
}

// checkLimits checks the limits of the agent itself.
func checkLimits(t *testing.T, got *api.Current) {
	t.Helper()
	l := got.Limits
	if l.Scope != "cgroup" || !strings.Contains(l.Path, groupName()) {
		t.Errorf("the limits have the scope %q and the group %q", l.Scope, l.Path)
	}
	equal(t, float64(l.Memory.Total), groupMemory)
	equal(t, float64(l.CPU.Cores), groupCPUs)
	if used := float64(l.Memory.Used); !(used > 1<<20 && used < groupMemory) {
		t.Errorf("%g bytes of the limit are used", used)
	}
	near2(t, float64(l.Memory.Percent), 100*float64(l.Memory.Used)/groupMemory)
	if used := float64(l.CPU.UsagePercent); !(used >= 0 && used < 100) {
		t.Errorf("%g %% of the limit's CPU time are used", used)
	}
}

// interfaceBytes returns the bytes that each interface of the host has received,
// without the interfaces of containers.
func interfaceBytes(t *testing.T) map[string]float64 {
	t.Helper()
	received := map[string]float64{}
	for line := range strings.Lines(slurp(t, "/proc/1/net/dev")) {
		name, numbers, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); ok && !strings.HasPrefix(name, "veth") && !strings.HasPrefix(name, "br-") {
			received[name] = numberOf(t, strings.Fields(numbers)[0])
		}
	}
	return received
}

// mountSource returns what is mounted at a directory, the last mount if several.
func mountSource(t *testing.T, dir string) (source string) {
	t.Helper()
	for line := range strings.Lines(slurp(t, "/proc/1/mounts")) {
		if f := strings.Fields(line); f[1] == dir {
			source = f[0]
		}
	}
	return source
}

// groupName returns the name of the test's control groups.
func groupName() string { return fmt.Sprintf("sysotel-test-%d", os.Getpid()) }

// limitedGroups makes control groups with limits of memory and CPU time: version 2 if
// the machine has it, else version 1.
func limitedGroups(t *testing.T) (groups []string) {
	t.Helper()
	const top = "/sys/fs/cgroup"
	group := func(hierarchy string, limits map[string]string) {
		dir := filepath.Join(top, hierarchy, groupName())
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
		t.Cleanup(func() { removeGroup(t, dir) })
		for file, limit := range limits {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(limit), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		groups = append(groups, dir)
	}
	if controllers, err := os.ReadFile(top + "/cgroup.subtree_control"); err == nil {
		if !strings.Contains(string(controllers), "memory") || !strings.Contains(string(controllers), "cpu") {
			if err := os.WriteFile(top+"/cgroup.subtree_control", []byte("+memory +cpu"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		group("", map[string]string{"memory.max": fmt.Sprint(groupMemory), "cpu.max": "150000 100000"})
		return groups
	}
	group("memory", map[string]string{"memory.limit_in_bytes": fmt.Sprint(groupMemory)})
	group("cpu", map[string]string{"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"})
	group("cpuacct", nil)
	return groups
}

// removeGroup removes a control group, which is busy until the kernel has reaped its
// processes.
func removeGroup(t *testing.T, dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("cannot remove the control group: %v", err)
			return
		case <-ticker.C:
		}
	}
}
