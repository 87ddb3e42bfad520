// Package permissions finds out what the agent cannot see with the permissions of
// its user.
package permissions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sysotel/instruments"
)

// Limit is something that the agent cannot see with the permissions of its user.
type Limit struct {
	// What is not seen, and the reason.
	What string
	// Remedy is the smallest permission that would suffice.
	Remedy string
}

// Check tries what the enabled collectors would do and returns what this user's
// permissions keep from them. Nothing is guessed: each was tried and refused.
func Check(ctx context.Context, h *instruments.Host, c instruments.Config) []Limit {
	var limits []Limit
	tick := instruments.Tick{Time: h.Now(), Seq: 1, Interval: time.Second}
	for _, collector := range instruments.NewCollectors(c, nil) {
		name := collector.Name()
		if !slices.Contains([]string{"process", "filesystem"}, name) || !c.Collectors[name].Enabled {
			continue
		}
		reading, err := collector.Read(ctx, h, tick)
		if err != nil {
			continue
		}
		switch r := reading.(type) {
		case *instruments.ProcessTable:
			limits = append(limits, ofProcesses(r, h)...)
		case *instruments.Filesystem:
			limits = append(limits, ofMounts(r)...)
		}
	}
	log, err := h.OpenKernelLog()
	switch {
	case err == nil:
		_ = log.Close()
	case errors.Is(err, fs.ErrPermission):
		limits = append(limits, Limit{"kills by the OOM killer are not reported: this user may not read the kernel log", kernelLogRemedy})
	case !errors.Is(err, instruments.ErrUnsupported):
		limits = append(limits, Limit{fmt.Sprintf("kills by the OOM killer are not reported: %v", err), "give a container the device with --device /dev/kmsg"})
	}
	return limits
}

// ofProcesses returns which processes are not seen, or not wholly.
func ofProcesses(t *instruments.ProcessTable, h *instruments.Host) []Limit {
	var limits []Limit
	if t.Denied > 0 {
		limits = append(limits, Limit{fmt.Sprintf("reads and writes of %d of %d processes are not seen: they belong to other users", t.Denied, len(t.All)), processIORemedy})
	}
	if t.Hidden > 0 || hidesProcesses(h.Root()) {
		limits = append(limits, Limit{"processes of other users are hidden: /proc is mounted with hidepid", hiddenRemedy})
	}
	return limits
}

// ofMounts returns which file systems are not seen.
func ofMounts(f *instruments.Filesystem) []Limit {
	var refused, unseen []string
	for _, m := range f.Missing() {
		switch {
		case strings.HasPrefix(m.Reason, instruments.NotVisible):
			unseen = append(unseen, m.Subject)
		case strings.Contains(m.Reason, fs.ErrPermission.Error()):
			refused = append(refused, m.Subject)
		}
	}
	var limits []Limit
	if refused != nil {
		limits = append(limits, Limit{"the size of " + strings.Join(refused, ", ") + " is not seen: this user may not enter a directory on the way there", mountRemedy})
	}
	if unseen != nil {
		limits = append(limits, Limit{"the size of " + strings.Join(unseen, ", ") + " is not seen: something else is mounted there where the agent runs", unseenRemedy})
	}
	return limits
}
