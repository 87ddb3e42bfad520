package instruments

import "strings"

// maxBacking bounds the devices that are looked at for one that stands on them.
const maxBacking = 64

// backing returns the files that a block device keeps all of its blocks in, divided
// by NUL: those of loop devices, whatever is built on them. It is "" where the device,
// or one below it, is no loop device.
func (h *Host) backing(name string) string {
	var files []string
	devices := []string{name}
	for n := 0; n < len(devices); n++ {
		switch b := h.block(devices[n]); {
		case n == maxBacking:
			return ""
		case b.kind == blockPart:
			devices = append(devices, b.of)
		case b.kind == blockStacked && len(b.on) > 0:
			devices = append(devices, b.on...)
		case b.kind == blockImage:
			file := h.readText(sysBlock(devices[n]) + "/loop/backing_file")
			if !strings.HasPrefix(file, "/") {
				return ""
			}
			files = append(files, file)
		default:
			return ""
		}
	}
	return strings.Join(files, "\x00")
}

// snapshotOf returns the volume that a block device is a snapshot of by the device
// mapper, "" where it is none. LVM builds a snapshot on the original's blocks
// (UUID-real), where the original stands too, and on those that differ (UUID-cow).
func (h *Host) snapshotOf(block string) string {
	if !isNumbered(block, "dm-") {
		return ""
	}
	layer := func(device, suffix string) string {
		for _, slave := range h.list("sys/block/" + device + "/slaves") {
			if strings.HasSuffix(h.readText("sys/block/"+slave+"/dm/uuid"), suffix) {
				return slave
			}
		}
		return ""
	}
	original := layer(block, "-real")
	if original == "" || layer(block, "-cow") == "" {
		return ""
	}
	for _, holder := range h.list("sys/block/" + original + "/holders") {
		if holder != block && layer(holder, "-cow") == "" {
			return h.readText("sys/block/" + holder + "/dev")
		}
	}
	return ""
}

// rootDevice finds the real name of what the kernel mounted as /dev/root: the
// name that the device has in /dev, else the kernel's boot parameter.
func (h *Host) rootDevice(volume string) string {
	for line := range strings.Lines(h.readText("sys/dev/block/" + volume + "/uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			return "/dev/" + name
		}
	}
	for word := range strings.FieldsSeq(h.readText("proc/cmdline")) {
		if device, ok := strings.CutPrefix(word, "root="); ok && strings.HasPrefix(device, "/dev/") {
			return device
		}
	}
	return "/dev/root"
}
