package instruments

import (
	"strings"

	"sysotel/instruments/sanitize"
)

// GroupName is what the path of a control group says about it. Names come from any program that
// may make control groups: control characters are escaped.
type GroupName struct {
	// Kind is one of the Group constants; Path is the path below the root of all groups.
	Kind, Path string
	// Name is for people: the name of the unit without its escapes (\x2d), of the machine
	// or the container, else the last part of the path.
	Name string
	// Unit is the systemd unit as systemctl writes it, of the nearest group that is one;
	// empty where there is none.
	Unit string
	// Container is the identifier of the container, or its name where the runtime has no
	// identifiers (LXC, systemd-nspawn); Runtime is docker, podman, containerd, cri-o, lxc or
	// systemd-nspawn, empty where the path does not say it.
	Container, Runtime string
	// Pod is the UID of the Kubernetes pod.
	Pod string

	// last is the last part of the path as the kernel has it; within is set on a group that
	// is a part of the one that the rest names, as what is below a container.
	last   string
	within bool
}

// The kinds of control groups.
const (
	GroupService   = "service"   // *.service of systemd.
	GroupScope     = "scope"     // *.scope: processes that systemd did not start.
	GroupSlice     = "slice"     // *.slice: units that share limits.
	GroupUnit      = "unit"      // A mount, socket or swap area of systemd.
	GroupContainer = "container" // A container of any runtime.
	GroupPod       = "pod"       // A pod of Kubernetes.
	GroupMachine   = "vm"        // A virtual machine.
	GroupSession   = "session"   // A session of a user.
	GroupUser      = "user"      // All of one user: user-1000.slice.
	GroupOther     = "group"     // Any other.
)

// runtimePrefixes are how container managers begin the names of their groups; the
// identifier follows.
var runtimePrefixes = [...]struct{ prefix, runtime string }{
	{"docker-", "docker"}, {"cri-containerd-", "containerd"}, {"nerdctl-", "containerd"}, {"crio-", "cri-o"}, {"libpod-", "podman"},
}

// runtimeFolders are groups of container managers in which the containers are, by their identifier.
var runtimeFolders = map[string]string{
	"docker": "docker", "libpod_parent": "podman", "k8s.io": "containerd", "default": "containerd", "moby": "docker", "crio": "cri-o",
}

// groupNameOf names the control group of a path, "/system.slice/ssh.service".
func groupNameOf(path string) GroupName {
	var g GroupName
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			g = g.child(part)
		}
	}
	return g
}

// child names a group in this one. See systemd.unit(5), cgroups(7) and, for the names
// that begin with _, the control group interface of systemd.
func (g *GroupName) child(part string) GroupName {
	c := GroupName{Kind: GroupOther, Unit: g.Unit, Pod: g.Pod, last: part}
	c.Path = g.Path + "/" + sanitize.EscapeControl(part)
	clear := strings.TrimPrefix(part, "_") // systemd: the name is one of the kernel's without it.
	base, ending := clear, ""
	if i := strings.LastIndexByte(clear, '.'); i > 0 {
		switch ending = clear[i+1:]; ending {
		case "service", "scope", "slice", "mount", "socket", "swap":
			base = clear[:i]
		default:
			ending = ""
		}
	}
	if g.within || g.Kind == GroupContainer || g.Kind == GroupMachine || ending == "" && g.isUnit() {
		// What a container or a unit makes below itself is a part of it.
		within := *g
		within.Path, within.last, within.within = c.Path, part, true
		if g.Kind != GroupPod || !c.identifies(g, base) {
			return within
		}
		return c
	}
	c.Name = sanitize.EscapeControl(unescapeUnit(clear))
	if ending != "" {
		c.Unit = sanitize.EscapeControl(clear)
	}
	switch ending {
	case "service":
		c.Kind = GroupService
	case "scope":
		c.Kind = GroupScope
	case "slice":
		c.Kind = GroupSlice
	case "mount", "socket", "swap":
		c.Kind = GroupUnit
	}
	c.identifies(g, base)
	return c
}

// isUnit reports whether a group without a name of systemd is a part of this one.
func (g *GroupName) isUnit() bool {
	switch g.Kind {
	case GroupService, GroupScope, GroupUnit, GroupSession, GroupPod:
		return true
	}
	return false
}

// identifies finds out which container, pod, machine or session a group is, and reports
// whether it is one. base is its name without the ending of systemd.
func (g *GroupName) identifies(parent *GroupName, base string) bool {
	container := func(id, runtime string) bool {
		g.Kind, g.Container, g.Runtime = GroupContainer, sanitize.EscapeControl(id), runtime
		g.Name = g.Container
		return true
	}
	for _, p := range runtimePrefixes {
		if id, ok := strings.CutPrefix(base, p.prefix); ok && isContainerID(id) {
			return container(id, p.runtime)
		}
	}
	if isContainerID(base) && g.Kind == GroupOther {
		return container(base, runtimeFolders[parent.last])
	}
	switch {
	case g.Kind == GroupService && strings.HasPrefix(base, "systemd-nspawn@"):
		return container(unescapeUnit(base[len("systemd-nspawn@"):]), "systemd-nspawn")
	case g.Kind == GroupScope && strings.HasPrefix(base, "machine-"):
		name := unescapeUnit(base[len("machine-"):])
		kind, rest, _ := strings.Cut(name, "-")
		if _, given, ok := strings.Cut(rest, "-"); ok && (kind == "qemu" || kind == "lxc") {
			name = given // libvirt writes the driver and a number in front.
		}
		switch kind {
		case "qemu":
			g.Kind, g.Name = GroupMachine, sanitize.EscapeControl(name)
			return true
		case "lxc":
			return container(name, "lxc")
		}
		return container(name, "systemd-nspawn")
	case g.Kind == GroupScope && parent.last == "qemu.slice":
		g.Kind, g.Name = GroupMachine, sanitize.EscapeControl(base)
		return true
	case g.Kind == GroupScope && strings.HasPrefix(base, "session-"):
		g.Kind = GroupSession
		return true
	case g.Kind == GroupSlice && strings.HasPrefix(base, "user-"):
		g.Kind = GroupUser
		return true
	case g.Kind == GroupSlice && strings.HasPrefix(base, "kubepods"):
		if i := strings.LastIndex(base, "-pod"); i > 0 && isPodUID(base[i+4:]) {
			g.Kind, g.Pod = GroupPod, strings.ReplaceAll(base[i+4:], "_", "-")
			g.Name = g.Pod
			return true
		}
	case g.Kind == GroupOther && strings.HasPrefix(g.Path, "/kubepods") && strings.HasPrefix(base, "pod") && isPodUID(base[3:]):
		g.Kind, g.Pod, g.Name = GroupPod, base[3:], base[3:]
		return true
	case g.Kind == GroupOther && strings.HasPrefix(base, "lxc.payload."):
		return container(base[len("lxc.payload."):], "lxc")
	case g.Kind == GroupOther && (parent.last == "lxc" || parent.last == "lxc.payload"):
		return container(base, "lxc")
	}
	return false
}

// isContainerID reports whether a name is that of a container: 64 hexadecimal digits.
func isContainerID(s string) bool { return len(s) == 64 && isHex(s, "") }

// isPodUID reports whether a name is the UID of a pod: 32 hexadecimal digits, often with
// dashes, which systemd's driver writes as _.
func isPodUID(s string) bool { return (len(s) == 32 || len(s) == 36) && isHex(s, "-_") }

// isHex reports whether all of s are digits as the kernel writes them, or in others.
func isHex(s, others string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// unescapeUnit undoes what systemd-escape(1) does to bytes that cannot be in the name of
// a unit: \x2d is a dash. Bytes from 0x80 on, the parts of a letter in UTF-8, are escaped
// one by one.
func unescapeUnit(name string) string {
	if !strings.Contains(name, `\x`) {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+3 < len(name) && name[i+1] == 'x' {
			high, okHigh := hexDigit(name[i+2])
			low, okLow := hexDigit(name[i+3])
			if okHigh && okLow {
				out = append(out, high<<4|low)
				i += 3
				continue
			}
		}
		out = append(out, name[i])
	}
	return sanitize.ValidUTF8(string(out))
}
