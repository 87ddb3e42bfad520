//go:build !linux

package instruments

import (
	"os"
	"time"

	gopsutildisk "github.com/shirou/gopsutil/v3/disk"
	gopsutilprocess "github.com/shirou/gopsutil/v3/process"
)

// file is a file that is read at every tick. Only Linux has such files; the
// type exists so that shared code compiles.
type file struct {
	host *Host
	name string
}

func (h *Host) open(name string) *file { return &file{h, name} }

func (f *file) read() ([]byte, error) { return f.host.readFile(f.name) }

// readOnce reads a small file of a driver, which only Linux has.
func (h *Host) readOnce(name string) ([]byte, error) { return h.readFile(name) }

// statfs asks the file system mounted at path for its size.
func statfs(path string) (capacity, error) {
	u, err := gopsutildisk.Usage(path)
	if err != nil {
		return capacity{}, err
	}
	return capacity{Size: u.Total, Free: u.Total - u.Used, Available: u.Free, Inodes: u.InodesTotal, InodesFree: u.InodesFree}, nil
}

// Asleep is the time the machine has been suspended since boot; it is known on
// Linux only.
func (h *Host) Asleep() time.Duration { return 0 }

// Self returns what the agent's own process costs.
func (h *Host) Self() OwnCost {
	p, err := gopsutilprocess.NewProcess(int32(os.Getpid()))
	if err != nil {
		return OwnCost{CPUSeconds: unknown}
	}
	c := OwnCost{CPUSeconds: unknown}
	if t, err := p.Times(); err == nil {
		c.CPUSeconds = t.User + t.System
	}
	if m, err := p.MemoryInfo(); err == nil {
		c.ResidentBytes = m.RSS
	}
	return c
}

// clockState is known on Linux only.
func clockState() ClockState { return ClockState{} }

// linux reports whether the machine's numbers come from /proc.
const linux = false

// procInode: there is no procfs.
func procInode(string) (uint64, bool) { return 0, false }
