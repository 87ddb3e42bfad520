package instruments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Limit is something that the agent cannot see with the rights of its user.
type Limit struct {
	// What is not seen, and the reason.
	What string
	// Remedy is the least that would mend it.
	Remedy string
}

// Limits tries what the configured families would do and tells what this user's
// rights keep from them. Nothing is guessed: each was tried and refused.
func (h *Host) Limits(ctx context.Context, c Config) []Limit {
	var limits []Limit
	tick := Tick{Time: h.Now(), Seq: 1, Interval: time.Second}
	if c.Collectors["process"].Enabled {
		reading, err := newProcess(c).Read(ctx, h, tick)
		if table, ok := reading.(*ProcessTable); ok && err == nil {
			limits = append(limits, table.limits(h)...)
		}
	}
	if c.Collectors["filesystem"].Enabled {
		reading, err := newFilesystem(c).Read(ctx, h, tick)
		if mounts, ok := reading.(*Filesystem); ok && err == nil {
			limits = append(limits, mounts.limits()...)
		}
	}
	log, err := h.OpenKernelLog()
	switch {
	case err == nil:
		_ = log.Close()
	case errors.Is(err, fs.ErrPermission):
		limits = append(limits, Limit{"kills for want of memory are not told: the kernel's log is kept from this user", kernelLogRemedy})
	case !errors.Is(err, ErrUnsupported):
		limits = append(limits, Limit{fmt.Sprintf("kills for want of memory are not told: %v", err), "give a container the device with --device /dev/kmsg"})
	}
	return limits
}

// limits tells which processes are not seen, or not wholly.
func (t *ProcessTable) limits(h *Host) []Limit {
	var limits []Limit
	if t.Denied > 0 {
		limits = append(limits, Limit{fmt.Sprintf("reads and writes of %d of %d processes are not seen: they belong to other users", t.Denied, len(t.All)), processIORemedy})
	}
	if t.Hidden > 0 || h.hidesProcesses() {
		limits = append(limits, Limit{"processes of other users are hidden: /proc is mounted with hidepid", hiddenRemedy})
	}
	return limits
}

// limits tells which file systems are kept from this user.
func (f *Filesystem) limits() []Limit {
	var refused []string
	for _, m := range f.Missing() {
		if strings.Contains(m.Reason, fs.ErrPermission.Error()) {
			refused = append(refused, m.Subject)
		}
	}
	if refused == nil {
		return nil
	}
	return []Limit{{"the size of " + strings.Join(refused, ", ") + " is not seen: a directory on the way there is kept from this user", mountRemedy}}
}
