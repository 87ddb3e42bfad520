package packaging

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// path is where Debian's packages install programs; PATH may have another docker
// before them.
const path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

// needed are the programs of the test and their packages.
var needed = map[string]string{
	"/usr/sbin/dockerd":       "docker.io",
	"/usr/bin/docker":         "docker.io",
	"/usr/bin/docker-compose": "docker-compose",
	"/usr/sbin/iptables":      "iptables",
	"/bin/busybox":            "busybox-static",
	"/usr/bin/unshare":        "util-linux",
	"/sbin/ip":                "iproute2",
	"/usr/bin/rootlesskit":    "rootlesskit",
	"/usr/bin/newuidmap":      "uidmap",
}

// docker is a private Docker in its own network, PID and mount namespaces: it does
// not touch another Docker of the machine, and everything it started ends with it.
type docker struct {
	tb      testing.TB
	root    string
	socket  string
	process *programs.Process
}

// startDocker starts it. If it cannot run the test fails: otherwise the compose file
// would never be tested.
//
// prepare is a script that is run before, in its namespaces, with its directory as $dir;
// args are further options of dockerd.
func startDocker(tb testing.TB, prepare string, args ...string) *docker {
	tb.Helper()
	requireRoot(tb)
	for program, pkg := range needed {
		if _, err := os.Stat(program); err != nil {
			tb.Fatalf("%s is missing: apt-get install %s; .ci/run does", program, pkg)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		tb.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "docker") //nolint:usetesting // A Unix socket's path is short; the test's own directory has a long one.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("cannot remove Docker's directory: %v", err)
		}
	})
	d := &docker{tb: tb, root: root, socket: filepath.Join(dir, "socket")}
	// Shared, because the agent's container must see later mounts.
	cmd := exec.CommandContext(tb.Context(), "/usr/bin/unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=shared",
		"sh", "-c", "set -e; ip link set lo up\n"+prepare+"\n"+`exec dockerd "$@"`, "dockerd",
		"--data-root="+filepath.Join(dir, "data"), "--exec-root="+filepath.Join(dir, "exec"), "--pidfile="+filepath.Join(dir, "pid"), "--host=unix://"+d.socket, "--log-level=warn")
	cmd.Args = append(cmd.Args, args...)
	cmd.Env = append(os.Environ(), path, "dir="+dir)
	d.process = programs.Start(tb, cmd)
	await(tb, 30*time.Second, "Docker cannot be started here", func() error {
		select {
		case <-d.process.Exited():
			tb.Fatalf("dockerd ended; it needs root, control groups and overlay mounts:\n%s", d.process.Output())
		default:
		}
		_, err := d.try("docker", "info")
		return err
	})
	return d
}

// command returns a command for this Docker, in the top directory.
// SYSOTEL_TEST_COMPOSE names another docker-compose.
func (d *docker) command(name string, args ...string) *exec.Cmd {
	program := "/usr/bin/" + name
	if other := os.Getenv("SYSOTEL_TEST_COMPOSE"); other != "" && name == "docker-compose" {
		program = other
	}
	// A failed test reads the logs after its context has ended.
	cmd := exec.CommandContext(context.WithoutCancel(d.tb.Context()), program, args...)
	cmd.Dir = d.root
	// A separate home, without a user's logins and settings.
	cmd.Env = append(os.Environ(), path, "DOCKER_HOST=unix://"+d.socket, "HOME="+filepath.Dir(d.socket), "DOCKER_BUILDKIT=1",
		"COMPOSE_DOCKER_CLI_BUILD=1", "COMPOSE_PROJECT_NAME="+project)
	return cmd
}

// try runs a program and returns its standard output; an error includes its standard
// error.
func (d *docker) try(name string, args ...string) (string, error) {
	out, err := d.command(name, args...).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, exit.Stderr)
	}
	return string(out), err
}

// run is try that must not fail.
func (d *docker) run(name string, args ...string) string {
	d.tb.Helper()
	out, err := d.try(name, args...)
	if err != nil {
		d.tb.Fatal(err)
	}
	return out
}

// compose runs docker-compose.
func (d *docker) compose(args ...string) string {
	d.tb.Helper()
	return d.run("docker-compose", args...)
}

// client returns an HTTP client in Docker's network.
func (d *docker) client() *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: d.dial}}
}

// dial opens a connection in Docker's network: a socket stays in the network of its
// thread. The thread must switch back and live on: dockerd is killed when the thread
// that started it ends, which may be this one.
func (d *docker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return dialIn(ctx, fmt.Sprintf("/proc/%d/ns/net", d.process.PID()), network, address)
}

// requireRoot skips the test without root, and fails it in CI.
func requireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatal("this test needs root to start a private Docker, and CI must run it")
	}
	tb.Skip("needs root: it starts a private Docker")
}

// await polls f until it returns nil, and fails with its last error.
func await(tb testing.TB, limit time.Duration, what string, f func() error) {
	tb.Helper()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			tb.Fatalf("%s: after %s: %v", what, limit, err)
		case <-ticker.C:
		}
	}
}
