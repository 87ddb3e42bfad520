package instruments

import (
	"os"
	"runtime"
	"strings"
	"time"

	gopsutilhost "github.com/shirou/gopsutil/v3/host"
)

// ID identifies the machine: its machine-id, or what another system has for it, else
// what Identify was given; empty without any of them.
func (h *Host) ID() string {
	for _, file := range [...]string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		// systemd writes "uninitialized" before the first boot is over.
		if id := h.readText(file); id != "" && id != "uninitialized" {
			return id
		}
	}
	// On Linux its last resort is the boot's id, with which each boot would be a new machine.
	if h.root == "/" && !linux {
		if id, err := gopsutilhost.HostID(); err == nil && id != "" {
			return id
		}
	}
	return h.identity
}

// Identify sets the identity for where the system has none. It must not change while the
// agent runs.
func (h *Host) Identify(id string) { h.identity = id }

// HardwareID is the identity that the firmware gives the machine, empty if unknown: only
// root may read it.
func (h *Host) HardwareID() string {
	return strings.ToLower(h.readText("sys/class/dmi/id/product_uuid"))
}

// Name is the machine's host name. Below another root (in a container) it is
// the name in the machine's /etc/hostname, because the system's answer would be
// the container's.
func (h *Host) Name() string {
	if h.root != "/" {
		if name := h.readText("etc/hostname"); name != "" {
			return name
		}
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "unknown"
	}
	return name
}

// OSType is the operating system in the words of the semantic conventions.
func (h *Host) OSType() string { return runtime.GOOS }

// OSDescription names the operating system's version, from /etc/os-release.
func (h *Host) OSDescription() string {
	text, err := h.readFile("etc/os-release")
	if err != nil {
		platform, _, version, err := gopsutilhost.PlatformInformation()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(platform + " " + version)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}

// Boot is when the machine started, zero if unknown.
func (h *Host) Boot() time.Time {
	if text, err := h.readFile("proc/stat"); err == nil {
		if s, err := parseStat(text, nil); err == nil && s.boot > 0 {
			return time.Unix(s.boot, 0).UTC()
		}
	}
	if seconds, err := gopsutilhost.BootTime(); err == nil && seconds > 0 {
		return time.Unix(int64(seconds), 0).UTC()
	}
	return time.Time{}
}

// OwnCost is what the agent's process has used.
type OwnCost struct {
	// CPUSeconds is user and system time since the agent started.
	CPUSeconds float64
	// ResidentBytes is memory in RAM, 0 if unknown.
	ResidentBytes uint64
}
