package instruments

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// The kinds of devices (include/uapi/linux/if_arp.h, file type) that say how an
// interface is connected.
const (
	arphrdPPP      = "512"
	arphrdTunnel   = "768"
	arphrdTunnel6  = "769"
	arphrdLoopback = "772"
	arphrdSIT      = "776"
	arphrdGRE      = "778"
	arphrdIEEE     = "801" // A radio that listens to all that is on the air,
	arphrdPrism    = "802" // the same,
	arphrdRadiotap = "803" // and the same.
	arphrdGRE6     = "823"
	arphrdNetlink  = "824" // nlmon: what programs and kernel say to each other.
	arphrdVsock    = "826" // vsockmon.
	arphrdNone     = "65534"
)

// innerPrefixes are names of the machine's ends of containers, virtual machines and
// tunnels. /sys is not asked about these, of which there can be thousands.
var innerPrefixes = [...]string{"veth", "docker", "virbr", "br-", "cali", "lxc", "tun", "tap", "ifb"}

// attachment looks up in /sys how an interface is connected.
func (h *Host) attachment(name string) attachment {
	if name == "lo" || isNumbered(name, "dummy") {
		return attachment{kind: interfaceLoopback}
	}
	dir := "sys/class/net/" + name
	inner := slices.ContainsFunc(innerPrefixes[:], func(p string) bool { return strings.HasPrefix(name, p) })
	if inner && !h.exists(dir+"/device") && !h.exists(dir+"/bridge") {
		return attachment{kind: interfaceInner}
	}
	devtype := ""
	for line := range strings.Lines(h.readText(dir + "/uevent")) {
		if t, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
			devtype = t
		}
	}
	kind := h.readText(dir + "/type")
	switch kind {
	case arphrdLoopback, arphrdIEEE, arphrdPrism, arphrdRadiotap, arphrdNetlink, arphrdVsock:
		return attachment{kind: interfaceLoopback}
	}
	a := attachment{kind: interfaceVirtual, on: h.lower(dir)}
	switch {
	case h.exists(dir + "/device"):
		if path.Base(h.link(dir+"/device/subsystem")) == "xen-backend" {
			return attachment{kind: interfaceInner} // The machine's end of a virtual machine's interface.
		}
		a.kind = interfacePhysical
		// A port of a switch chip sends through the interface of the chip's
		// conduit, and the fast path of a cloud's interface (Azure, failover)
		// is counted again in the interface that is its master.
		if devtype != "dsa" {
			a.on = nil
		}
		if h.exists(dir + "/master/device") {
			a.on = []string{path.Base(h.link(dir + "/master"))}
		}
		return a
	case h.exists(dir + "/bridge"):
		a.kind, a.switches = interfaceInner, true
	case kind == arphrdPPP, devtype == "ppp":
		a.line = len(a.on) == 0
	case inner, h.exists(dir + "/tun_flags"):
		a.kind = interfaceInner
	}
	switch kind {
	case arphrdTunnel, arphrdTunnel6, arphrdSIT, arphrdGRE, arphrdGRE6, arphrdNone:
		a.kind = interfaceInner
	}
	switch devtype {
	case "bridge", "vlan", "vxlan", "gre", "geneve", "wireguard", "macsec", "macvtap", "vrf", "bareudp", "l2tpeth":
		a.kind = interfaceInner
	}
	return a
}

// lower names the interfaces that one stands on: the slaves of a bond, the interface of a
// VLAN, the conduit of a switch chip's port.
func (h *Host) lower(dir string) []string {
	var on []string
	for _, entry := range h.list(dir) {
		if name, ok := strings.CutPrefix(entry, "lower_"); ok {
			on = append(on, name)
		}
	}
	slices.Sort(on)
	return on
}

// linkInfo reads what the driver reports of a link.
func (h *Host) linkInfo(name string) linkInfo {
	dir := "sys/class/net/" + name
	return linkInfo{
		speed:   parseSpeed(h.readText(dir + "/speed")),
		network: h.readText(dir + "/phys_switch_id"), port: h.readText(dir + "/phys_port_name"),
	}
}

// parseSpeed turns the file speed, in Mbit/s, into bit/s. Drivers that do not know it
// write -1 or 0, or -1 without a sign in 16 or 32 bits.
func parseSpeed(text string) float64 {
	const most = 10_000_000
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n == 1<<16-1 || n > most {
		return unknown
	}
	return float64(n) * 1e6
}

// isUplink reports whether a port of a switch leads outside: p0, and p0s1 for a part of it.
// The others are the machine's ends of virtual functions: pf0vf1, pf0sf88, 3.
func isUplink(port string) bool {
	number, ok := strings.CutPrefix(port, "p")
	number, split, _ := strings.Cut(number, "s")
	return ok && isNumbered(number, "") && (split == "" || isNumbered(split, ""))
}
