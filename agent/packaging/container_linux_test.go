package packaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// subordinates gives the user daemon 65,536 users of the machine from 100,000 on.
const subordinates = `chmod 711 "$dir"; mount --make-rprivate /; mount --make-rshared /
for file in subuid subgid; do echo daemon:100000:65536 >"$dir/$file"; mount --bind "$dir/$file" /etc/$file; done
`

// rootless runs dockerd as the user daemon, as dockerd-rootless.sh of Docker does; its
// network has no way out.
const rootless = subordinates + `mkdir "$dir/run"; chown daemon:daemon "$dir" "$dir/run"
export HOME="$dir" XDG_RUNTIME_DIR="$dir/run"
exec setpriv --reuid=daemon --regid=daemon --init-groups --inh-caps=-all \
	rootlesskit --copy-up=/etc --copy-up=/run --propagation=rslave --state-dir="$dir/run/state" \
	unshare --net sh -c 'ip link set lo up; rm -f /run/docker /run/containerd /run/xtables.lock; exec dockerd "$@"' dockerd "$@"
`

// TestContainers runs the image in a real Docker in the ways that people run it, and
// compares what it reports with the machine.
func TestContainers(t *testing.T) {
	agent := buildAgent(t)
	for _, daemon := range []struct {
		name string
		// prepare is run before dockerd, with args.
		prepare string
		args    []string
		// owner is the user of the machine that a user of a container is; nil if it is
		// the same.
		owner func(int) int
	}{
		{name: "rootful"},
		{
			// Root of a container is an ordinary user of the machine.
			name: "user namespaces", args: []string{"--userns-remap=daemon"}, prepare: subordinates,
			owner: func(uid int) int { return 100000 + uid },
		},
		{
			// Docker itself is an ordinary user.
			name: "rootless", args: []string{"--rootless"}, prepare: rootless,
			owner: func(uid int) int {
				if uid == 0 {
					return 1 // daemon
				}
				return 100000 + uid - 1
			},
		},
	} {
		t.Run(daemon.name, func(t *testing.T) {
			d := startDocker(t, daemon.prepare, daemon.args...)
			for _, i := range baseImages(t, agent) {
				d.load(i)
			}
			d.run("docker", "build", "-q", "-f", "agent/packaging/Dockerfile", "-t", "sysotel/agent", ".")
			for _, c := range []struct {
				name string
				args []string
				// host is set where it sees the machine's processes, which /host/proc is enough for.
				host bool
				uid  int
			}{
				{name: "plain", uid: 65532, args: []string{"-v", "plain:/var/lib/sysotel"}},
				{name: "read-only", uid: 65532, host: true, args: []string{"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "-v", "ro:/var/lib/sysotel", "-v", "/:/host:ro,rslave"}},
				{name: "pid-host", uid: 65532, host: true, args: []string{"--pid=host", "--read-only", "-v", "pid:/var/lib/sysotel", "-v", "/:/host:ro,rslave"}},
				{name: "another-user", uid: 1234, args: []string{"--user=1234:0", "-v", "user:/var/lib/sysotel"}},
				{name: "root", args: []string{"--user=0:0", "-v", "root:/var/lib/sysotel"}},
			} {
				if daemon.owner != nil && c.name == "pid-host" {
					continue // A root that is no root of the machine may not mount its /proc; with --userns=host the volume has another owner.
				}
				t.Run(c.name, func(t *testing.T) {
					owner := c.uid
					if daemon.owner != nil {
						owner = daemon.owner(owner)
					}
					container{t, d, c.name}.try(c.args, owner, c.host)
				})
			}
		})
	}
}

// baseImages are the images that the Dockerfile builds on.
func baseImages(t *testing.T, agent string) []image {
	t.Helper()
	text := read(t, "agent/packaging/Dockerfile")
	name := func(program string) string {
		m := regexp.MustCompile(`(?m)^FROM (` + program + `:\S+)`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the Dockerfile does not build on %s", program)
		}
		return m[1]
	}
	return []image{
		{name: name("node"), scripts: map[string]string{"bin/npm": fakeNPM}},
		{
			name: name("golang"), programs: map[string]string{"prebuilt/sysotel": agent},
			scripts: map[string]string{"bin/go": fakeGo, "inputs": inputs(t), "etc/ssl/certs/ca-certificates.crt": "a certificate\n"},
		},
	}
}

// container is one container of the agent.
type container struct {
	*testing.T
	docker *docker
	name   string
}

// try runs the container, checks what it reports, restarts and stops it.
func (c container) try(args []string, owner int, host bool) {
	d := c.docker
	d.run("docker", append(append([]string{"run", "--detach", "--name=" + c.name}, args...), "sysotel/agent")...)
	c.Cleanup(func() {
		if c.Failed() {
			said, _ := d.try("docker", "logs", c.name)
			c.Logf("the log:\n%.4000s", said)
		}
		_, _ = d.try("docker", "rm", "--force", c.name)
	})
	began := time.Now()
	c.healthy()
	c.Logf("healthy after %s", time.Since(began).Round(100*time.Millisecond))
	if got := c.owner(); got != owner {
		c.Errorf("the agent runs as user %d of the machine, want %d", got, owner)
	}
	c.check(host)

	first := c.starts()
	if d.run("docker", "kill", "--signal=HUP", c.name); first != 1 {
		c.Errorf("%d starts, want 1", first)
	}
	await(c, 20*time.Second, "no reload", func() error {
		if text, err := d.try("docker", "logs", c.name); err != nil || !strings.Contains(text+c.errors(), "configuration reloaded") {
			return errors.New("not in the log")
		}
		return nil
	})
	began = time.Now()
	d.run("docker", "stop", "--time=10", c.name)
	took := time.Since(began)
	c.Logf("stopped after %s", took.Round(10*time.Millisecond))
	if code := strings.TrimSpace(d.run("docker", "inspect", "--format={{.State.ExitCode}}", c.name)); code != "0" || took > 2*time.Second {
		c.Errorf("docker stop took %s and the agent ended with %s, want at most 2 s and 0", took, code)
	}
	d.run("docker", "start", c.name)
	c.healthy()
	if n := c.starts(); n != 2 {
		c.Errorf("after the restart the events have %d starts, want 2", n)
	}
}

// errors is what the container printed to standard error.
func (c container) errors() string {
	text, err := c.docker.command("docker", "logs", c.name).CombinedOutput()
	if err != nil {
		return ""
	}
	return string(text)
}

// healthy waits for the health check of the image.
func (c container) healthy() {
	c.Helper()
	await(c, 60*time.Second, "the container is not healthy", func() error {
		status, err := c.docker.try("docker", "inspect", "--format={{.State.Status}} {{.State.Health.Status}}", c.name)
		if err == nil && strings.TrimSpace(status) != "running healthy" {
			err = errors.New(status)
		}
		return err
	})
}

// check compares the newest reading with the machine's own files.
func (c container) check(host bool) {
	c.Helper()
	var r struct {
		Scope     string
		Memory    struct{ Total float64 }
		CPU       struct{ Count float64 }
		Processes struct{ Total *float64 }
	}
	c.get("/api/v1/metrics/current", &r)
	want := 0.0
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		_, _ = fmt.Sscanf(string(text), "MemTotal: %f kB", &want)
	}
	if r.Memory.Total != want*1024 || want == 0 {
		c.Errorf("memory of %v bytes, want %v", r.Memory.Total, want*1024)
	}
	if r.Processes.Total == nil {
		c.Fatal("the number of processes is unknown")
	}
	// Docker has a PID namespace of its own here, which is the machine for it.
	all, err := filepath.Glob(c.docker.path("/proc/[0-9]*"))
	if err != nil {
		c.Fatal(err)
	}
	visible := 1.0
	if host {
		visible = float64(len(all))
	}
	if math.Abs(*r.Processes.Total-visible) > 2+visible/4 {
		c.Errorf("%v processes, want about %v", *r.Processes.Total, visible)
	}
	if said := c.errors(); !strings.Contains(said, "the agent is in a PID namespace of its own") {
		c.Error("the log does not say that processes of the machine are not visible")
	}
}

// starts counts the events of starts.
func (c container) starts() int {
	c.Helper()
	var page struct{ Events []struct{ Kind string } }
	c.get("/api/v1/events?start=-1h&kind=start", &page)
	return len(page.Events)
}

// pid is the agent's process in Docker's PID namespace.
func (c container) pid() string {
	c.Helper()
	return strings.TrimSpace(c.docker.run("docker", "inspect", "--format={{.State.Pid}}", c.name))
}

// owner is the user of the agent's process on the machine.
func (c container) owner() int {
	c.Helper()
	text, err := os.ReadFile(c.docker.path("/proc/" + c.pid() + "/status"))
	if err != nil {
		c.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^Uid:\t(\d+)`).FindStringSubmatch(string(text))
	uid, err := strconv.Atoi(m[1])
	if err != nil {
		c.Fatal(err)
	}
	return uid
}

// get reads an answer of the API from the container's own loopback.
func (c container) get(path string, to any) {
	c.Helper()
	namespace := c.docker.path("/proc/" + c.pid() + "/ns/net")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialIn(ctx, namespace, network, address)
		},
	}}
	await(c, 20*time.Second, path, func() error {
		request, err := http.NewRequestWithContext(c.Context(), http.MethodGet, "http://127.0.0.1:8080"+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", response.Status, text)
		}
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		return err
	})
}

// path is a path in Docker's mount namespace.
func (d *docker) path(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", d.process.PID(), name)
}

// dialIn opens a connection in a network namespace: a socket stays in the network of its
// thread. The thread must switch back and live on: dockerd is killed when the thread that
// started it ends, which may be this one.
func dialIn(ctx context.Context, namespace, network, address string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	there, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // Everything after would be in the wrong network.
	}
	return conn, err
}
