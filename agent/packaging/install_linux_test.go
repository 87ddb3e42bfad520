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

// TestInstall installs, upgrades, downgrades, removes and purges the packages in a clean
// Debian with its own systemd, that of RPM with rpm; the scripts say what holds.
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
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// SYSOTEL_TEST_DEBIAN is a root that debootstrap made before.
	clean := os.Getenv("SYSOTEL_TEST_DEBIAN")
	if clean == "" {
		clean = filepath.Join(t.TempDir(), "clean")
		output(t, "debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,procps,rpm,cpio", "bookworm", clean)
	}
	packages := map[string][]byte{}
	for name, version := range map[string]string{"old": "v1.2.3", "new": "v1.3.0"} {
		for file, text := range buildRelease(t, root, version) {
			packages[name+filepath.Ext(file)] = text
		}
	}
	for kind, script := range map[string]string{"deb": "install.sh", "rpm": "install_rpm.sh"} {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "debian")
			output(t, "cp", "-a", clean, dir)
			output(t, "cp", "testdata/"+script, "sysotel.service", filepath.Join(dir, "root"))
			for _, name := range []string{"old." + kind, "new." + kind} {
				if err := os.WriteFile(filepath.Join(dir, "root", name), packages[name], 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if said := output(t, "nsenter", inside(bootDebian(t, dir), "bash", "-c", "cd /root && . ./"+script)...); !strings.Contains(said, "everything held") {
				t.Errorf("the script ended early:\n%s", said)
			}
		})
	}
}

// output runs a program and returns what it prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// bootDebian starts the Debian in a directory and returns the PID of its first process.
func bootDebian(t *testing.T, dir string) (leader string) {
	t.Helper()
	machine := programs.Start(t, exec.CommandContext(t.Context(), "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot", "--directory", dir))
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
	return leader
}

// inside returns the arguments of nsenter for a command in the machine of a process.
func inside(leader string, command ...string) []string {
	return append([]string{
		"--target", leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive",
	}, command...)
}
