package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// mountSource is /proc/1/mountinfo. gopsutil leaves out of it what distinguishes two
// mounts of one file system: the device's number and the directory mounted.
type mountSource struct {
	first, own *file
	text       []byte
	at         time.Time
	entries    []mountEntry
	// described are all that the list has, entries those of interest.
	described []mountEntry
	// misread are the lines that could not be read.
	misread misread
}

// mountsEvery is how often the text is read although nothing was mounted: a file
// system that turns read-only after an error reports it nowhere. (statfs(2) knows, but
// of the agent's own mounts, which a container or a service manager makes
// read-only for it alone.)
const mountsEvery = 5 * time.Second

// list returns all mounts, and whether they differ from those of the call before.
func (s *mountSource) list(_ context.Context, h *Host) (entries []mountEntry, changed bool, err error) {
	if s.first == nil {
		s.first, s.own = h.open("proc/1/mountinfo"), h.open("proc/self/mountinfo")
	}
	now := h.Now()
	if s.entries != nil && now.Sub(s.at) < mountsEvery && s.quiet() {
		return s.entries, false, nil
	}
	s.at = now
	within := ""
	text, err := s.first.read()
	if err != nil {
		// Where /proc hides the first process (hidepid) the agent's own mounts are as
		// good, as far as they lie below the root.
		var ownErr error
		if text, ownErr = s.own.read(); ownErr != nil {
			return nil, false, errors.Join(err, ownErr)
		}
		within = h.root
	}
	if bytes.Equal(text, s.text) && s.entries != nil {
		return s.entries, false, nil
	}
	parsed, misread, err := parseMountinfo(text)
	if err != nil {
		return nil, false, fmt.Errorf("parse /proc/1/mountinfo: %w", err)
	}
	s.text = append(s.text[:0], text...)
	s.described, s.misread = h.describeMounts(parsed, s.described), misread
	s.entries = s.described
	if within != "" {
		// What is seen is decided before what is not below the root is left out.
		s.entries = below(visibleMounts(s.entries), within)
	}
	return s.entries, true, nil
}

// quiet reports that nothing was mounted or unmounted since the question before.
// The kernel answers that much faster than it prints many mounts.
// A plain file, as of a recorded machine, can always be written to and is never
// quiet.
func (s *mountSource) quiet() bool {
	if *s.first.fd == 0 {
		return false
	}
	fds := [1]unix.PollFd{{Fd: int32(*s.first.fd) - 1, Events: unix.POLLPRI | unix.POLLOUT}}
	_, err := unix.Poll(fds[:], 0)
	return err == nil && fds[0].Revents == 0
}

// below keeps the mounts below root and names them as seen from there.
func below(entries []mountEntry, root string) []mountEntry {
	if root == "" || root == "/" {
		return entries
	}
	kept := entries[:0]
	for _, e := range entries {
		point, ok := strings.CutPrefix(e.point, root)
		if !ok || point != "" && point[0] != '/' {
			continue
		}
		if e.point = point; point == "" {
			e.point = "/"
		}
		kept = append(kept, e)
	}
	return kept
}

// parseMountinfo reads /proc/PID/mountinfo, proc_pid_mountinfo(5):
//
//	36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//
// Fields are divided by one space each and can be empty: the last but one is
// whatever was given to mount(2). Odd characters in paths are written in octal. A line
// that cannot be read is left out and named; without any good one there is an error.
func parseMountinfo(text []byte) ([]mountEntry, misread, error) {
	entries := make([]mountEntry, 0, bytes.Count(text, []byte{'\n'})+1)
	var bad misread
	var first error
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if len(line) == 0 {
			continue
		}
		e, err := parseMount(line)
		if err != nil {
			bad.note("/proc/1/mountinfo: "+quoted(line), err.Error())
			if first == nil {
				first = fmt.Errorf("line %s: %w", quoted(line), err)
			}
			continue
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		if first == nil {
			first = errors.New("it lists no mount")
		}
		return nil, misread{}, first
	}
	return entries, bad, nil
}

func parseMount(line []byte) (mountEntry, error) {
	var fields [6][]byte // id, parent, major:minor, root, mount point, options
	rest := line
	for i := range fields {
		var ok bool
		if fields[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return mountEntry{}, fmt.Errorf("has %d fields before the dash, at least 6 are needed", i+1)
		}
	}
	// Any number of optional fields follows, and a dash ends them.
	for {
		var field []byte
		var ok bool
		if field, rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return mountEntry{}, errors.New("no dash divides the mount from its file system")
		}
		if string(field) == "-" {
			break
		}
	}
	kind, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(kind) == 0 {
		return mountEntry{}, errors.New("has no type after the dash")
	}
	device, options, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return mountEntry{}, errors.New("has no device after the type")
	}
	major, minor, ok := bytes.Cut(fields[2], []byte{':'})
	left, ok1 := parseUint(major)
	right, ok2 := parseUint(minor)
	if !ok || !ok1 || !ok2 || max(left, right) > math.MaxUint32 {
		return mountEntry{}, fmt.Errorf("%s is not the number of a device", quoted(fields[2]))
	}
	e := mountEntry{
		id: string(fields[0]), parent: string(fields[1]),
		volume: string(fields[2]), number: unix.Mkdev(uint32(left), uint32(right)),
		root: unescapeOctal(fields[3]), point: unescapeOctal(fields[4]),
		kind: unescapeOctal(kind), device: unescapeOctal(device),
		readOnly: isReadOnly(fields[5]) || isReadOnly(options),
	}
	if !strings.HasPrefix(e.point, "/") {
		return mountEntry{}, fmt.Errorf("the mount point %s does not begin with a slash", quoted(fields[4]))
	}
	e.readOptions(options)
	return e, nil
}

// readOptions takes what a file system says of itself, beside ro: what an overlay
// stands on, and whether directories have limits of their own. (The kernel writes a
// comma in a path in octal.)
func (e *mountEntry) readOptions(options []byte) {
	lower := false
	for len(options) > 0 {
		var option []byte
		option, options, _ = bytes.Cut(options, []byte{','})
		name, value, _ := bytes.Cut(option, []byte{'='})
		switch string(name) {
		case "upperdir":
			e.upper = unescapeOctal(value)
		case "lowerdir", "lowerdir+", "datadir+":
			lower = true
		case "prjquota", "pquota":
			e.projects = true
		}
	}
	switch e.kind {
	case "overlay", "overlayfs":
		e.image = lower && e.upper == ""
	default:
		e.upper = ""
	}
}

// isReadOnly looks for ro among the options. The second word is what ext4 says
// after an error, from Linux 6.15 on without ro.
func isReadOnly(options []byte) bool {
	for len(options) > 0 {
		var option []byte
		option, options, _ = bytes.Cut(options, []byte{','})
		if string(option) == "ro" || string(option) == "emergency_ro" {
			return true
		}
	}
	return false
}

// describeMounts adds what the machine knows beside mountinfo: which types keep
// files on storage, the devices' real names, and what devices stand on. What is known
// from before, as they were described, is not asked again: a device stays what it is for
// as long as it is mounted.
func (h *Host) describeMounts(entries, before []mountEntry) []mountEntry {
	onDevices := parseFilesystems(h.readText("proc/filesystems"))
	type device struct{ block, backing, snapshotOf string }
	type place struct{ id, volume string }
	old := map[place]device{}
	for i := range before {
		if e := &before[i]; e.block != "" {
			old[place{e.id, e.volume}] = device{e.block, e.backing, e.snapshotOf}
		}
	}
	known := map[string]device{}
	for i := range entries {
		e := &entries[i]
		e.describe(onDevices)
		if !strings.HasPrefix(e.volume, "0:") {
			d, ok := known[e.volume]
			if !ok {
				d, ok = old[place{e.id, e.volume}]
				known[e.volume] = d
			}
			if !ok {
				if to := h.link("sys/dev/block/" + e.volume); to != "" {
					d.block = strings.ReplaceAll(to[strings.LastIndexByte(to, '/')+1:], "!", "/")
					d.backing, d.snapshotOf = h.backing(d.block), h.snapshotOf(d.block)
				}
				known[e.volume] = d
			}
			e.block, e.backing, e.snapshotOf = d.block, d.backing, d.snapshotOf
		}
		if e.device == "/dev/root" {
			e.device = h.rootDevice(e.volume)
		}
	}
	return entries
}

// parseFilesystems reads /proc/filesystems, proc_filesystems(5): the types that
// the kernel has loaded, "nodev" before those that need no block device.
func parseFilesystems(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 1 {
			found[fields[0]] = true
		}
	}
	return found
}

// describe sorts a mount by its type. onDevices are the types that need a block
// device; the others are no storage unless they are known to be.
func (e *mountEntry) describe(onDevices map[string]bool) {
	switch kind, program, _ := strings.Cut(e.kind, "."); kind {
	case "squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs":
		// Images and discs are always full.
		e.image = true
	case "overlay", "overlayfs":
		// It shows other file systems. Only at "/" it can be all there is (a container,
		// a live system) and stands for the disk below, see findCarriers.
		e.storage, e.own = e.point == "/" && !e.image, true
	case "zfs":
		// Data sets of a pool share its space. A snapshot shows what its data set
		// has in use already.
		e.storage, e.own = !strings.Contains(e.device, "@"), true
		e.pool, _, _ = strings.Cut(e.device, "/")
	case "fuse":
		e.storage, e.watched = !isNoStorage(program), true
	case "fuseblk":
		// Served by a program (ntfs-3g), but from a disk of the machine.
		e.storage, e.own, e.watched = true, true, true
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "ceph", "glusterfs", "afs", "coda", "lustre",
		"beegfs", "beegfs_nodev", "gpfs", "orangefs", "pvfs2", "panfs", "wekafs", "davfs",
		"virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs":
		e.storage, e.watched = true, true
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "jfs", "reiserfs", "vfat", "exfat", "ntfs", "ntfs3",
		"hfs", "hfsplus", "ubifs", "jffs2", "yaffs2":
		e.storage, e.own = true, true
	default:
		e.storage = onDevices[e.kind]
		e.own = e.storage
	}
}

// isNoStorage reports of a program behind fuse whether what it shows is stored
// elsewhere: documents handed to applications, mounted archives and images, and
// /proc made up for a container.
func isNoStorage(program string) bool {
	switch program {
	case "portal", "gvfsd-fuse", "gvfs-fuse-daemon", "lxcfs", "fuse-overlayfs", "snapfuse", "squashfuse", "squashfuse_ll",
		"archivemount", "vmware-vmblock":
		return true
	}
	return strings.HasSuffix(program, ".AppImage")
}

// mountPath is where the agent finds a mount point of the machine.
func (h *Host) mountPath(point string) string { return h.path(point) }
