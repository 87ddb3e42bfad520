package packaging

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// TestInstall installs, upgrades, backs up, downgrades, restores, removes and purges the
// package in a clean Debian with its own systemd. testdata/install.sh says what holds.
func TestInstall(t *testing.T) {
	if os.Getenv("SYSOTEL_TEST_RELEASE") == "" {
		t.Skip("takes minutes and a download of Debian: make releasecheck runs it")
	}
	requireRoot(t)
	for program, pkg := range map[string]string{"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%s is missing: apt-get install %s", program, pkg)
		}
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// SYSOTEL_TEST_DEBIAN is a root that debootstrap made before.
	clean, dir := os.Getenv("SYSOTEL_TEST_DEBIAN"), filepath.Join(t.TempDir(), "debian")
	if clean == "" {
		run("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,procps", "bookworm", dir)
	} else {
		run("cp", "-a", clean, dir)
	}
	for name, version := range map[string]string{"old": "v1.2.3", "new": "v1.3.0"} {
		for file, text := range buildRelease(t, root, version) {
			if strings.HasSuffix(file, ".deb") {
				if err := os.WriteFile(filepath.Join(dir, "root", name+".deb"), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	run("cp", "testdata/install.sh", filepath.Join(dir, "root"))

	machine := programs.Start(t, exec.CommandContext(t.Context(), "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot", "--directory", dir))
	leader := ""
	await(t, time.Minute, "Debian does not start", func() error {
		pids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", machine.PID(), machine.PID()))
		if err != nil {
			return err
		}
		children := strings.Fields(string(pids))
		if len(children) == 0 {
			return errors.New("it has no processes")
		}
		leader = children[0]
		out, err := exec.CommandContext(t.Context(), "nsenter", inside(leader, "systemctl", "is-system-running")...).Output()
		if state := strings.TrimSpace(string(out)); state != "running" && state != "degraded" {
			return fmt.Errorf("it is %q (%w)", state, err)
		}
		return nil
	})
	if said := run("nsenter", inside(leader, "bash", "-c", "cd /root && . ./install.sh")...); !strings.Contains(said, "everything held") {
		t.Errorf("the script ended early:\n%s", said)
	}
}

// inside returns the arguments of nsenter for a command in the machine of a process.
func inside(leader string, command ...string) []string {
	return append([]string{
		"--target", leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
	}, command...)
}
