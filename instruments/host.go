package instruments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v3/common"
)

// Host is the only access to the machine: nothing else in this package opens a
// file, reads the clock or makes a system call. Tests give it the root of a
// recorded machine instead of "/".
type Host struct {
	// root is where the machine's file tree is: "/", or "/host" in a container.
	root string
	// own is the file tree of the agent itself, which in a container differs from the
	// machine's: the container's limits are in it.
	own *Host
	// Now is the clock, with its monotonic part.
	Now func() time.Time
	// statfs stands for statfs(2); the path is below root.
	statfs func(path string) (capacity, error)
	// clock stands for adjtimex(2).
	clock func() ClockState
	// identity is the machine's where the system has none.
	identity string
	// ownNetwork reports whether the agent lives in the machine's network namespace.
	ownNetwork bool

	// pidsOnly is set where /proc has processes and nothing else: it is mounted with
	// subset=pid, as by ProcSubset=pid of systemd.
	pidsOnly bool

	mu       sync.Mutex
	tick     uint64
	stat     *procStat
	statFile *file
	// statm is the agent's own, whatever root is.
	statm   *file
	meminfo meminfoFile
	vmstat  vmstatFile
	table   processTable
}

// NewHost opens the machine whose file tree is at root ("/" for this machine).
func NewHost(root string) *Host {
	h := &Host{root: filepath.Clean(root), own: &Host{root: "/"}, Now: time.Now, statfs: statfs, clock: clockState}
	h.ownNetwork = h.sharesNetwork()
	h.pidsOnly = linux && !h.exists("proc/stat") && (h.exists("proc/self/stat") || h.exists("proc/1/stat"))
	h.statFile = h.open("proc/stat")
	h.statm = (&Host{root: "/"}).open("proc/self/statm")
	h.table.host = h
	return h
}

// Close closes the files of processes. It is called after the last tick.
func (h *Host) Close() error {
	h.table.mu.Lock()
	defer h.table.mu.Unlock()
	h.table.close()
	return nil
}

// DetectRoot returns where the host's file tree is: "/host" where a container
// was given it there (-v /:/host:ro,rslave), else "/".
func DetectRoot() string {
	if _, err := os.Stat("/host/proc/1/stat"); err == nil {
		return "/host"
	}
	return "/"
}

// Check returns an error if the machine cannot be read at all; a missing part is
// reported by its collector.
func (h *Host) Check() error {
	if !linux || h.pidsOnly {
		return nil
	}
	_, err := os.ReadFile(h.path("proc/stat"))
	if errors.Is(err, fs.ErrPermission) {
		// Android gives programs memory and little else.
		_, err = os.ReadFile(h.path("proc/meminfo"))
	}
	if err != nil {
		return fmt.Errorf("host.root: the machine cannot be read: %w; in a container mount the host's files with -v /:/host:ro,rslave and give it the host's processes with --pid host", err)
	}
	return nil
}

// Explain returns the error of a collector's Read as it is to be understood: where /proc
// has only processes, the machine has what is not there, and the agent does not see it.
func (h *Host) Explain(err error) error {
	if !h.pidsOnly || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return pidsOnlyError{err}
}

// pidsOnlyError is an ErrUnsupported: nothing is reported, and nothing is retried.
type pidsOnlyError struct{ error }

// Error implements error.
func (pidsOnlyError) Error() string {
	return NotVisible + ": /proc is mounted with subset=pid and has only processes; in a systemd unit remove ProcSubset=pid"
}

// Is makes errors.Is report it as ErrUnsupported.
func (pidsOnlyError) Is(target error) bool { return target == ErrUnsupported }

// Root is where the machine's file tree is.
func (h *Host) Root() string { return h.root }

// path turns a machine path without its leading slash, "proc/stat", into one to open.
func (h *Host) path(name string) string { return filepath.Join(h.root, name) }

// readFile reads a small file whole. Hot files are kept open instead, see file.
func (h *Host) readFile(name string) ([]byte, error) {
	if runtime.GOOS == "windows" {
		// Every user may make \etc and \proc there; they would be no system's files.
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return os.ReadFile(h.path(name))
}

// readText reads a file of one line, "" where it cannot be read.
func (h *Host) readText(name string) string {
	b, err := h.readFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// exists reports whether a path is there.
func (h *Host) exists(name string) bool {
	_, err := os.Lstat(h.path(name))
	return err == nil
}

// list names the entries of a directory, none where it cannot be read.
func (h *Host) list(name string) []string {
	f, err := os.Open(h.path(name))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	names, _ := f.Readdirnames(-1)
	return names
}

// link reads a symbolic link, "" where there is none.
func (h *Host) link(name string) string {
	to, err := os.Readlink(h.path(name))
	if err != nil {
		return ""
	}
	return to
}

// real follows all links of a path and returns it below root, "" where there is nothing.
func (h *Host) real(name string) string {
	root, err := filepath.EvalSymlinks(h.root)
	if err != nil {
		return ""
	}
	path, err := filepath.EvalSymlinks(h.path(name))
	if err != nil {
		return ""
	}
	return strings.Trim(strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(root)), "/")
}

// sharesNetwork reports whether /proc/self and the machine's first process are in one
// network namespace; where that cannot be seen, they are taken to be.
func (h *Host) sharesNetwork() bool {
	own, err := os.Readlink("/proc/self/ns/net")
	if first := h.link("proc/1/ns/net"); err == nil && first != "" {
		return own == first
	}
	// Only who may trace the first process sees its namespace. But each namespace has
	// files of its own, which everybody sees.
	const name = "/net/dev"
	mine, ok := procInode("/proc/self" + name)
	its, okFirst := procInode(h.path("proc/1" + name))
	return !ok || !okFirst || mine == its
}

// gopsutil returns the context by which gopsutil finds the machine below root.
func (h *Host) gopsutil(ctx context.Context) context.Context {
	if h.root == "/" {
		return ctx
	}
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: h.path("proc"),
		common.HostSysEnvKey:  h.path("sys"),
		common.HostEtcEnvKey:  h.path("etc"),
		common.HostVarEnvKey:  h.path("var"),
		common.HostRunEnvKey:  h.path("run"),
		common.HostDevEnvKey:  h.path("dev"),
		common.HostRootEnvKey: h.root,
	})
}

// capacity is the result of statfs(2), in bytes and inodes.
type capacity struct {
	// Volume is the number of the file system that answered, as stat(2) has it; 0
	// where it is not known.
	Volume                uint64
	Size, Free, Available uint64
	Inodes, InodesFree    uint64
	ReadOnly              bool
}
