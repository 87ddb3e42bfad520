package guest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// kernels are the lines of Debian's kernels that are tried. They differ in the counters of
// NVMe multipath, in the files of cgroups and in how mounts are listed.
var kernels = []string{"6.1", "6.12"}

// tools are the Debian packages that scenarios take programs from.
var tools = []string{
	"btrfs-progs", "busybox-static", "dash", "dbus", "dmsetup", "e2fsprogs", "iproute2", "iptables", "libnss-systemd",
	"mdadm", "mount", "nfs-common", "nfs-kernel-server", "nvme-cli", "systemd-sysv", "util-linux", "wireguard-tools",
}

// need ends a test that cannot run here: a failure where guests were asked for, as by make guest,
// and a skip in make test, which also runs where there is no archive of packages.
func need(t *testing.T, what, how string) {
	t.Helper()
	if all() {
		t.Fatalf("%s: %s", what, how)
	}
	t.Skipf("not tested: %s: %s", what, how)
}

// needPrograms checks that this machine can start guests.
func needPrograms(t *testing.T) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("not tested: the guests are amd64, and the agent is built for the machine that tests it")
	}
	for program, pkg := range map[string]string{"qemu-system-x86_64": "qemu-system-x86", "apt-get": "apt", "dpkg-deb": "dpkg", "mkfs.ext4": "e2fsprogs"} {
		if _, err := exec.LookPath(program); err != nil {
			need(t, program+" is missing", "apt-get install "+pkg)
		}
	}
}

// cached returns the folder of that name below bin/guest, which fill makes if it is missing.
// Concurrent tests fill it once, and one that is stopped half-way leaves nothing behind.
func cached(t *testing.T, name string, fill func(dir string)) string {
	t.Helper()
	top, err := filepath.Abs(filepath.Join("..", "..", "bin", "guest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(top, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, name)
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	half := dir + ".half"
	if err := os.RemoveAll(half); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(half)
	if err := os.Rename(half, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// update renews what apt knows of the archive, where it can.
func update(t *testing.T) {
	t.Helper()
	if said, err := exec.CommandContext(t.Context(), "apt-get", "update", "-qq").CombinedOutput(); err != nil {
		t.Logf("apt-get update: %v\n%s", err, said)
	}
}

// kernelPackage returns the newest package of a line of kernels that the archive has.
func kernelPackage(t *testing.T, line string) string {
	t.Helper()
	name := regexp.MustCompile(`^linux-image-` + regexp.QuoteMeta(line) + `\.(\d+)(?:-(\d+)|\+deb12)-amd64$`)
	versions := map[string][2]int{}
	for pkg := range strings.Lines(output(t, "apt-cache", "pkgnames", "linux-image-"+line)) {
		pkg = strings.TrimSpace(pkg)
		if m := name.FindStringSubmatch(pkg); m != nil {
			patch, _ := strconv.Atoi(m[1])
			abi, _ := strconv.Atoi(m[2])
			versions[pkg] = [2]int{patch, abi}
		}
	}
	if len(versions) == 0 {
		return ""
	}
	// Each call of apt-cache can take seconds. What is known but not in the archive has no file.
	newest := ""
	about := output(t, "apt-cache", append([]string{"show", "--no-all-versions"}, slices.Collect(maps.Keys(versions))...)...)
	for one := range strings.SplitSeq(about, "\n\n") {
		pkg, _, _ := strings.Cut(strings.TrimPrefix(one, "Package: "), "\n")
		version, known := versions[pkg]
		if before := versions[newest]; known && strings.Contains(one, "\nFilename: ") && slices.Compare(version[:], before[:]) > 0 {
			newest = pkg
		}
	}
	return newest
}

// kernel returns the folder of an unpacked kernel with its modules.
func kernel(t *testing.T, line string) string {
	t.Helper()
	return cached(t, "linux-"+line, func(dir string) {
		pkg := kernelPackage(t, line)
		if pkg == "" {
			update(t)
			if pkg = kernelPackage(t, line); pkg == "" {
				need(t, "the archive has no linux-image-"+line+"*-amd64", "use a Debian 12 with bookworm-security")
			}
		}
		download := exec.CommandContext(t.Context(), "apt-get", "download", "-qq", pkg)
		download.Dir = dir
		if said, err := download.CombinedOutput(); err != nil {
			need(t, fmt.Sprintf("download %s: %v: %s", pkg, err, said), "needs a network")
		}
		unpack(t, dir, dir)
	})
}

// unpacked returns the folder of the unpacked packages of tools, with all that they depend
// on. apt is told that nothing is installed, so that what the machine has does not matter.
func unpacked(t *testing.T) string {
	t.Helper()
	id := sha256.Sum256([]byte(strings.Join(tools, " ")))
	return cached(t, "tools-"+hex.EncodeToString(id[:4]), func(dir string) {
		archives := t.TempDir()
		if err := os.Mkdir(filepath.Join(archives, "partial"), 0o755); err != nil {
			t.Fatal(err)
		}
		args := append([]string{
			"install", "-y", "-qq", "--no-install-recommends", "--download-only", "-o", "Dir::State::status=/dev/null",
			"-o", "Dir::Cache::archives=" + archives, "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=",
		}, tools...)
		if _, err := exec.CommandContext(t.Context(), "apt-get", args...).CombinedOutput(); err != nil {
			update(t)
			if said, err := exec.CommandContext(t.Context(), "apt-get", args...).CombinedOutput(); err != nil {
				need(t, fmt.Sprintf("download packages: %v: %s", err, said), "needs a network, and Debian 12")
			}
		}
		unpack(t, archives, dir)
	})
}

// unpack unpacks the packages in a folder and removes them.
func unpack(t *testing.T, from, to string) {
	t.Helper()
	packages, err := filepath.Glob(filepath.Join(from, "*.deb"))
	if err != nil || len(packages) == 0 {
		t.Fatalf("no packages in %s: %v", from, err)
	}
	for _, pkg := range packages {
		output(t, "dpkg-deb", "-x", pkg, to)
		if err := os.Remove(pkg); err != nil {
			t.Fatal(err)
		}
	}
}

// output runs a program on this machine and returns what it prints.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", program, strings.Join(args, " "), err, said, complaint.String())
	}
	return string(said)
}

// agentBinary returns the path of the agent's program, built once for all tests.
func agentBinary(t *testing.T) string {
	t.Helper()
	top := filepath.Join("..", "..", "bin", "guest")
	if err := os.MkdirAll(top, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(top, "sysotel-"+cmp.Or(os.Getenv("GOAMD64"), "v1"))
	buildOnce.Do(func() {
		// The go command knows better than we what has to be built again.
		cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", binary, "sysotel/agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build the agent: %v\n%s", err, said)
		}
	})
	return binary
}
