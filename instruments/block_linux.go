package instruments

import (
	"cmp"
	"slices"
	"strings"
)

// block looks up in /sys what a device is and what it stands on.
func (h *Host) block(name string) block {
	switch {
	case isNumbered(name, "ram"), isNumbered(name, "zram"):
		return block{kind: blockMemory}
	case isNumbered(name, "loop"):
		return block{kind: blockImage, swaps: true}
	}
	if !h.exists("sys/block") {
		return blockByName(name)
	}
	dir := sysBlock(name)
	if !h.exists(dir) {
		// A partition: those are below their disk.
		if whole := cmp.Or(h.wholeOf(name), wholeByName(name)); whole != "" {
			return block{kind: blockPart, of: whole}
		}
		return block{}
	}
	if head := pathHead(name); head != "" && h.readText(dir+"/hidden") == "1" {
		return block{kind: blockPart, of: head, path: true}
	}
	b := block{kind: blockVirtual, swaps: h.readText(dir+"/removable") == "1"}
	switch slaves := h.list(dir + "/slaves"); {
	case isNumbered(name, "nbd"):
		b.swaps = true
		if h.readText(dir+"/size") == "0" {
			b.kind = blockEmpty
		}
	case isNumbered(name, "sr"), isNumbered(name, "fd"):
		b.kind, b.swaps = blockDrive, true
	case len(slaves) > 0, blockByName(name).kind == blockStacked:
		b.kind, b.mapper = blockStacked, h.readText(dir+"/dm/name")
		for _, s := range slaves {
			if whole := h.wholeOf(strings.ReplaceAll(s, "!", "/")); whole != "" && whole != name && !slices.Contains(b.on, whole) {
				b.on = append(b.on, whole)
			}
		}
		slices.Sort(b.on)
	case h.exists(dir + "/device"):
		b.kind = blockPhysical
	}
	return b
}

// sysBlock is the directory of a whole device. The kernel writes the slash of
// "cciss/c0d0" as an exclamation mark in /sys.
func sysBlock(name string) string { return "sys/block/" + strings.ReplaceAll(name, "/", "!") }

// wholeOf returns the whole device of a partition, the name itself if it is no
// partition, and "" where neither is there.
func (h *Host) wholeOf(name string) string {
	if h.exists(sysBlock(name)) {
		return name
	}
	if whole := wholeByName(name); whole != "" && h.exists(sysBlock(whole)) {
		return whole
	}
	return ""
}

// wholeByName takes the number of a partition off its name: sda1, nvme0n1p1, cciss/c0d0p1.
func wholeByName(name string) string {
	whole := strings.TrimRight(name, "0123456789")
	if whole == name || whole == "" {
		return ""
	}
	if rest, ok := strings.CutSuffix(whole, "p"); ok && rest != "" && strings.ContainsRune("0123456789", rune(rest[len(rest)-1])) {
		return rest
	}
	return whole
}

// pathHead returns the disk that a path of an NVMe disk leads to, "" for other names:
// nvmeScCnN is a path by controller C to namespace N of subsystem S, which is nvmeSnN
// (drivers/nvme/host/multipath.c, nvme_mpath_set_disk_name).
func pathHead(name string) string {
	rest, ok := strings.CutPrefix(name, "nvme")
	if !ok {
		return ""
	}
	subsystem, rest, ok := strings.Cut(rest, "c")
	controller, namespace, ok2 := strings.Cut(rest, "n")
	if !ok || !ok2 || !isNumbered(subsystem, "") || !isNumbered(controller, "") || !isNumbered(namespace, "") {
		return ""
	}
	return "nvme" + subsystem + "n" + namespace
}

// blockByName guesses by name alone, where /sys cannot be seen.
func blockByName(name string) block {
	if head := pathHead(name); head != "" {
		return block{kind: blockPart, of: head, path: true}
	}
	for _, prefix := range [...]string{"dm-", "md", "drbd", "bcache", "zd"} {
		if isNumbered(name, prefix) {
			return block{kind: blockStacked}
		}
	}
	if isNumbered(name, "nbd") {
		return block{kind: blockVirtual, swaps: true}
	}
	if isNumbered(name, "sr") || isNumbered(name, "fd") {
		return block{kind: blockDrive, swaps: true}
	}
	if isDiskName(name) {
		return block{kind: blockPhysical}
	}
	if whole := wholeByName(name); isDiskName(whole) {
		return block{kind: blockPart, of: whole}
	}
	return block{}
}

// isDiskName reports whether the name is one that drivers give to a whole disk.
func isDiskName(name string) bool {
	for _, prefix := range [...]string{"sd", "hd", "vd", "xvd", "dasd"} {
		letters, ok := strings.CutPrefix(name, prefix)
		if ok && letters != "" && strings.Trim(letters, "abcdefghijklmnopqrstuvwxyz") == "" {
			return true
		}
	}
	if rest, ok := strings.CutPrefix(name, "nvme"); ok {
		controller, namespace, _ := strings.Cut(rest, "n")
		return isNumbered(controller, "") && isNumbered(namespace, "")
	}
	// The boot parts of a memory card are disks with counters of their own.
	card, _, _ := strings.Cut(name, "boot")
	return isNumbered(card, "mmcblk") || isNumbered(name, "rbd") || isNumbered(name, "pmem")
}

// isReplaced reports whether another device has the name now. Its sequence number is
// looked at where look is set, and its file stays open where keep is.
func (s *diskState) isReplaced(h *Host, c *diskCounters, look, keep bool) bool {
	replaced := s.number != 0 && c.device != 0 && c.device != s.number
	if c.device != 0 {
		s.number = c.device
	}
	// The sequence number changes with the medium too, under counters that go on.
	if look && !s.swaps && s.kind.bottom() && s.sequence.changed(h, "sys/block", strings.ReplaceAll(s.name, "/", "!"), "diskseq", keep) {
		replaced = true
	}
	return replaced
}
