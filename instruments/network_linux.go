package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// networkSource is /proc/1/net/dev. /proc/net is a link to the reading process, in
// a container with a network of its own the wrong one (prometheus/node_exporter#2007).
// gopsutil can be given the file, but opens it anew each time, which takes twice as
// long and five allocations for each interface (BenchmarkNetworkGopsutil).
type networkSource struct{ dev networkFile }

// each calls visit for every interface; the name is valid during the call only.
func (s *networkSource) each(_ context.Context, h *Host, visit func(name []byte, c interfaceCounters)) error {
	text, err := s.dev.read(h, "dev")
	if err != nil {
		return err
	}
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, c, err := parseNetDev(line)
		if err != nil {
			return fmt.Errorf("parse /proc/net/dev: line %q: %w", line, err)
		}
		if name != nil {
			visit(name, c)
		}
	}
	return nil
}

// networkFile is a file below /proc/PID/net, which shows the network namespace
// of that process.
type networkFile struct{ first, own *file }

// read returns the file as the machine's first process sees it. Where /proc hides
// that process (hidepid), the agent's own is as good, but only in the same namespace.
func (f *networkFile) read(h *Host, name string) ([]byte, error) {
	if f.first == nil {
		f.first, f.own = h.open("proc/1/net/"+name), h.open("proc/net/"+name)
	}
	text, err := f.first.read()
	if err != nil && h.ownNetwork {
		var ownErr error
		if text, ownErr = f.own.read(); ownErr == nil {
			return text, nil
		}
		err = errors.Join(err, ownErr)
	}
	return text, err
}

// parseNetDev reads one line of /proc/net/dev, proc_pid_net(5). The name is nil
// for the two lines of titles. The numbers can follow the colon without a space,
// and an alias of old has a colon in its name, so the last one counts.
func parseNetDev(line []byte) (name []byte, c interfaceCounters, err error) {
	colon := bytes.LastIndexByte(line, ':')
	if colon < 0 {
		if len(line) > 0 && bytes.IndexByte(line, '|') < 0 {
			return nil, c, errors.New("there is no colon after a name")
		}
		return nil, c, nil
	}
	name = bytes.TrimLeft(line[:colon], " ")
	if len(name) == 0 {
		return nil, c, errors.New("there is no name before the colon")
	}
	var numbers [16]uint64
	rest := line[colon+1:]
	for i := range numbers {
		var word []byte
		word, rest = cutWord(rest)
		var ok bool
		if numbers[i], ok = parseUint(word); !ok {
			return nil, c, fmt.Errorf("%q in column %d is not a number", word, i+1)
		}
	}
	c.receive = trafficCounters{numbers[0], numbers[1], numbers[2], numbers[3]}
	c.transmit = trafficCounters{numbers[8], numbers[9], numbers[10], numbers[11]}
	return name, c, nil
}

// interfaceKind looks up in /sys how an interface is connected.
func (h *Host) interfaceKind(name string) interfaceKind {
	dir := "sys/class/net/" + name
	devtype := ""
	for line := range strings.Lines(h.readText(dir + "/uevent")) {
		if t, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
			devtype = t
		}
	}
	switch {
	case name == "lo", h.readText(dir+"/type") == "772": // ARPHRD_LOOPBACK
		return interfaceLoopback
	case h.exists(dir + "/device"):
		// A port of a switch chip sends through the interface of the chip's
		// conduit, and the fast path of a cloud's interface (Azure, failover)
		// is counted again in the interface that is its master.
		if devtype == "dsa" || h.exists(dir+"/master/device") {
			return interfaceInner
		}
		return interfacePhysical
	case h.exists(dir + "/bridge"), h.exists(dir + "/tun_flags"):
		return interfaceInner
	}
	switch devtype {
	case "bridge", "vlan", "vxlan", "gre", "geneve", "wireguard", "macsec":
		return interfaceInner
	}
	for _, prefix := range [...]string{"veth", "docker", "virbr", "br-", "cali", "lxc", "tun", "tap", "ifb"} {
		if strings.HasPrefix(name, prefix) {
			return interfaceInner
		}
	}
	return interfaceVirtual
}

// linkSpeed reads the speed of a link in bit/s from /sys, which has Mbit/s,
// and -1 or an error where the driver does not know it.
func (h *Host) linkSpeed(name string) float64 {
	n, err := strconv.ParseInt(h.readText("sys/class/net/"+name+"/speed"), 10, 64)
	if err != nil || n <= 0 {
		return unknown
	}
	return float64(n) * 1e6
}
