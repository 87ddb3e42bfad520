package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Netstat is a reading of the counters of the network protocols, in the order of
// netstatFields; one above 2^63-1 is unknown.
type Netstat struct {
	misread

	Values [netstatCount]uint64
}

// netstatField is one number of /proc/net/netstat, snmp or snmp6.
type netstatField struct {
	// protocol and name are the kernel's words: TcpExt, ListenDrops.
	protocol, name string
	// level is set for what is no counter: connections that are open.
	level bool
}

const netstatCount = 79

// netstatFields are the fields that are reported, of some 400: traffic, errors, and what
// is lost or sent again.
var netstatFields = [netstatCount]netstatField{
	{"Ip", "Forwarding", true},
	{"Ip", "InReceives", false},
	{"Ip", "InDelivers", false},
	{"Ip", "OutRequests", false},
	{"Ip", "ForwDatagrams", false},
	{"Ip", "InDiscards", false},
	{"Ip", "OutDiscards", false},
	{"Ip", "InHdrErrors", false},
	{"Ip", "OutNoRoutes", false},
	{"Ip", "ReasmFails", false},
	{"IpExt", "InOctets", false},
	{"IpExt", "OutOctets", false},
	{"IpExt", "InCsumErrors", false},
	{"Icmp", "InMsgs", false},
	{"Icmp", "InErrors", false},
	{"Icmp", "OutMsgs", false},
	{"Tcp", "ActiveOpens", false},
	{"Tcp", "PassiveOpens", false},
	{"Tcp", "AttemptFails", false},
	{"Tcp", "EstabResets", false},
	{"Tcp", "CurrEstab", true},
	{"Tcp", "InSegs", false},
	{"Tcp", "OutSegs", false},
	{"Tcp", "RetransSegs", false},
	{"Tcp", "InErrs", false},
	{"Tcp", "OutRsts", false},
	{"TcpExt", "ListenOverflows", false},
	{"TcpExt", "ListenDrops", false},
	{"TcpExt", "SyncookiesSent", false},
	{"TcpExt", "SyncookiesRecv", false},
	{"TcpExt", "SyncookiesFailed", false},
	{"TcpExt", "TCPSynRetrans", false},
	{"TcpExt", "TCPTimeouts", false},
	{"TcpExt", "TCPOFOQueue", false},
	{"TcpExt", "TCPRcvQDrop", false},
	{"TcpExt", "TCPBacklogDrop", false},
	{"TcpExt", "TCPReqQFullDrop", false},
	{"TcpExt", "TCPAbortOnMemory", false},
	{"TcpExt", "TCPAbortOnTimeout", false},
	{"TcpExt", "TCPLostRetransmit", false},
	{"TcpExt", "TCPFastRetrans", false},
	{"TcpExt", "TCPMemoryPressures", false},
	{"TcpExt", "TCPZeroWindowDrop", false},
	{"TcpExt", "TCPTimeWaitOverflow", false},
	{"TcpExt", "TW", false},
	{"TcpExt", "PruneCalled", false},
	{"Udp", "InDatagrams", false},
	{"Udp", "OutDatagrams", false},
	{"Udp", "NoPorts", false},
	{"Udp", "InErrors", false},
	{"Udp", "RcvbufErrors", false},
	{"Udp", "SndbufErrors", false},
	{"Udp", "InCsumErrors", false},
	{"UdpLite", "InErrors", false},
	{"Ip6", "InReceives", false},
	{"Ip6", "InDelivers", false},
	{"Ip6", "OutRequests", false},
	{"Ip6", "OutForwDatagrams", false},
	{"Ip6", "InDiscards", false},
	{"Ip6", "OutDiscards", false},
	{"Ip6", "InHdrErrors", false},
	{"Ip6", "OutNoRoutes", false},
	{"Ip6", "ReasmFails", false},
	{"Ip6", "InOctets", false},
	{"Ip6", "OutOctets", false},
	{"Icmp6", "InMsgs", false},
	{"Icmp6", "InErrors", false},
	{"Icmp6", "OutMsgs", false},
	{"Udp6", "InDatagrams", false},
	{"Udp6", "OutDatagrams", false},
	{"Udp6", "NoPorts", false},
	{"Udp6", "InErrors", false},
	{"Udp6", "RcvbufErrors", false},
	{"Udp6", "SndbufErrors", false},
	{"Udp6", "InCsumErrors", false},
	{"UdpLite6", "InErrors", false},
	{"TcpExt", "TCPRcvCollapsed", false},
	{"TcpExt", "TCPReqQFullDoCookies", false},
	{"TcpExt", "TCPSpuriousRTOs", false},
}

// netstatPlaces are the places of the fields, by protocol and name; those of
// /proc/net/snmp6, which has both in one word, are in netstatPlaces6.
var netstatPlaces, netstatPlaces6 = func() (map[string]map[string]int, map[string]int) {
	places, six := map[string]map[string]int{}, map[string]int{}
	for i, f := range netstatFields {
		if bytes.HasSuffix([]byte(f.protocol), []byte{'6'}) {
			six[f.protocol+f.name] = i
			continue
		}
		if places[f.protocol] == nil {
			places[f.protocol] = map[string]int{}
		}
		places[f.protocol][f.name] = i
	}
	return places, six
}()

var (
	netstatProtocolKey = Key{Name: "protocol", Help: "the kernel's word: Ip, IpExt, Icmp, Tcp, TcpExt, Udp, UdpLite, and with IPv6 Ip6, Icmp6, Udp6, UdpLite6"}

	netstatEvents = &Metric{
		Name: "sysotel.netstat.events", Unit: "{event}", Kind: Counter, Integer: true,
		Keys: []Key{netstatProtocolKey, {Name: "event", Help: "the kernel's word: RetransSegs, ListenDrops, RcvbufErrors, InOctets, ..."}},
		Help: "What the network protocols count: packets, bytes, errors, segments that were sent again or dropped.", Source: "/proc/1/net/snmp, netstat and snmp6",
	}
	netstatLevel = &Metric{
		Name: "sysotel.netstat.level", Kind: Gauge, Integer: true,
		Keys: []Key{netstatProtocolKey, {Name: "field", Help: "CurrEstab (TCP connections that are open) or Forwarding (1 where the machine routes, else 2)"}},
		Help: "State of the network protocols.", Source: "/proc/1/net/snmp",
	}
)

// netstat reads the counters of the network protocols.
type netstat struct {
	snmp, netstat, snmp6 networkFile
	counts               ledger
	// lines remember where in a line of titles the fields are.
	lines map[string]*netstatTitles
}

// netstatTitles is a line of titles and, for each word after the first, the place of its
// field, -1 for those that are not reported.
type netstatTitles struct {
	text   []byte
	places []int
}

func newNetstat() Collector {
	return &netstat{counts: make(ledger, netstatCount), lines: map[string]*netstatTitles{}}
}

func (*netstat) Name() string { return "netstat" }

func (*netstat) Metrics() []*Metric { return []*Metric{netstatEvents, netstatLevel} }

func (n *netstat) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	r := &Netstat{}
	for i := range r.Values {
		r.Values[i] = unknownCount
	}
	good, missing := false, 0
	var failed error
	for _, f := range [...]struct {
		file *networkFile
		name string
	}{{&n.snmp, "snmp"}, {&n.netstat, "netstat"}, {&n.snmp6, "snmp6"}} {
		text, err := f.file.read(h, f.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing++ // A kernel without IPv6, or without a network.
			r.lost("/proc/net/"+f.name, err)
		case err != nil:
			failed = err
			r.lost("/proc/net/"+f.name, err)
		case f.name == "snmp6":
			good = parseSNMP6(text, &r.Values, &r.misread) || good
		default:
			good = n.parse(text, f.name, r) || good
		}
	}
	for i := range r.Values {
		if !netstatFields[i].level {
			r.Values[i] = n.counts.next(i, r.Values[i])
		}
	}
	switch {
	case good:
		return r, nil
	case failed != nil:
		return nil, failed
	case missing == 3 && !h.pidsOnly:
		return nil, ErrUnsupported
	case missing == 3:
		return nil, fs.ErrNotExist
	}
	return nil, fmt.Errorf("parse /proc/net/snmp: no line can be read: %v", r.Missing())
}

// parse reads pairs of lines, titles and numbers, proc_pid_net(5): "Tcp: InSegs OutSegs"
// and "Tcp: 5 6". It reports whether any number could be read.
func (n *netstat) parse(text []byte, file string, r *Netstat) (good bool) {
	for len(text) > 0 {
		var titles, numbers []byte
		titles, text, _ = bytes.Cut(text, []byte{'\n'})
		colon := bytes.IndexByte(titles, ':')
		if colon < 0 {
			if len(titles) > 0 {
				r.note("/proc/net/"+file, "line "+quoted(titles)+" has no name before a colon")
			}
			continue
		}
		name := titles[:colon]
		fields := netstatPlaces[string(name)]
		if next, rest, _ := bytes.Cut(text, []byte{'\n'}); bytes.HasPrefix(next, titles[:colon+1]) {
			numbers, text = next, rest
		} else {
			if fields != nil {
				r.note("/proc/net/"+file+": "+string(name), "a line of titles without one of numbers")
			}
			continue
		}
		if fields == nil {
			good = good || len(numbers) > colon+2
			continue
		}
		places := n.places(name, titles, colon, fields)
		rest := numbers[colon+1:]
		for _, at := range places {
			var word []byte
			word, rest = cutWord(rest)
			if at < 0 {
				continue
			}
			v, ok := countOf(word)
			if !ok {
				r.note("/proc/net/"+file+": "+string(name)+" "+netstatFields[at].name, notNumber(word))
			}
			r.Values[at], good = v, good || ok
		}
		if word, _ := cutWord(rest); len(word) > 0 {
			r.note("/proc/net/"+file+": "+string(name), "there are more numbers than titles")
			for _, at := range places { // Which is which is not known.
				if at >= 0 {
					r.Values[at] = unknownCount
				}
			}
		}
	}
	return good
}

// places returns where the fields are in a line of titles, which is the same for as long
// as the kernel runs.
func (n *netstat) places(name, titles []byte, colon int, fields map[string]int) []int {
	t := n.lines[string(name)]
	if t != nil && bytes.Equal(t.text, titles) {
		return t.places
	}
	t = &netstatTitles{text: bytes.Clone(titles)}
	seen := map[int]bool{}
	for rest := titles[colon+1:]; ; {
		var word []byte
		if word, rest = cutWord(rest); len(word) == 0 {
			break
		}
		at, ok := fields[string(word)]
		if !ok || seen[at] {
			at = -1
		}
		seen[at] = true
		t.places = append(t.places, at)
	}
	n.lines[string(name)] = t
	return t.places
}

// parseSNMP6 reads /proc/net/snmp6, a word and a number in each line. It reports whether
// any number could be read.
func parseSNMP6(text []byte, values *[netstatCount]uint64, odd *misread) (good bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		name, rest := cutWord(line)
		word, _ := cutWord(rest)
		v, ok := countOf(word)
		good = good || ok
		if at, listed := netstatPlaces6[string(name)]; listed {
			if values[at] = v; !ok {
				odd.note("/proc/net/snmp6: "+string(name), notNumber(word))
			}
		}
	}
	return good
}

// Report implements Reading.
func (n *Netstat) Report(o *Observer) {
	for i, v := range n.Values {
		f := &netstatFields[i]
		if f.level {
			o.Uint(netstatLevel, v, f.protocol, f.name)
		} else {
			o.Uint(netstatEvents, v, f.protocol, f.name)
		}
	}
}
