//go:build !linux

package instruments

import (
	"context"
	"slices"
	"strings"
	"time"

	gopsutildisk "github.com/shirou/gopsutil/v3/disk"
)

// mountSource reads from gopsutil.
type mountSource struct {
	at      time.Time
	entries []mountEntry
	misread misread
}

// sight is how the agent finds the file system of a mount: there is one way only.
type sight struct{}

// space asks the mount's file system for its size.
func (m *mount) space(h *Host) (capacity, error) { return h.statfs(h.mountPath(m.point)) }

// mountsEvery is how often mounts are listed: on Windows that opens every drive.
const mountsEvery = 10 * time.Second

// list returns the mounts, and whether they differ from those of the call before.
func (s *mountSource) list(ctx context.Context, h *Host) (entries []mountEntry, changed bool, err error) {
	now := h.Now()
	if !s.at.IsZero() && now.Sub(s.at) < mountsEvery {
		return s.entries, false, nil
	}
	// A drive that cannot be opened is an error beside the others.
	found, err := gopsutildisk.PartitionsWithContext(ctx, false)
	if err != nil && len(found) == 0 {
		return nil, false, err
	}
	for _, p := range found {
		e := mountEntry{
			id: p.Device, volume: p.Device, root: "/", point: p.Mountpoint, kind: p.Fstype, device: p.Device,
			readOnly: slices.Contains(p.Opts, "ro"),
		}
		e.describe()
		entries = append(entries, e)
	}
	changed = s.at.IsZero() || !slices.Equal(entries, s.entries)
	s.at, s.entries = now, entries
	return entries, changed, nil
}

// describe sorts a mount by its type.
func (e *mountEntry) describe() {
	switch kind := strings.ToLower(e.kind); kind {
	case "devfs", "autofs", "nullfs", "procfs", "fdescfs", "linprocfs", "tmpfs", "cdfs", "udf", "cd9660":
	case "nfs", "smbfs", "afpfs", "webdav", "ftp":
		e.storage, e.watched = true, true
	case "apfs":
		// Volumes of one container show the same space: disk3s1s1 is in disk3.
		e.storage, e.own = true, true
		number, _, _ := strings.Cut(strings.TrimPrefix(e.device, "/dev/disk"), "s")
		e.volume = "/dev/disk" + number
	case "zfs":
		e.storage, e.own = true, true
		e.pool, _, _ = strings.Cut(e.device, "/")
	default:
		e.storage, e.own = true, true
		e.watched = strings.Contains(kind, "fuse")
	}
}

// mountPath is where the agent finds a mount point: a Windows drive, C:, has
// no place below a root.
func (h *Host) mountPath(point string) string { return point }
