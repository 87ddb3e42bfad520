package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Sockstat is a reading of the kernel's own counts of sockets, in its words; a number
// above 2^63-1 is unknown.
type Sockstat struct {
	misread

	// Used counts the sockets of all kinds.
	Used uint64
	// Numbers are in the order of sockstatFields.
	Numbers [sockstatCount]uint64
	// UDPQueues are the bytes that wait in UDP sockets, in the order of udpQueues.
	UDPQueues [4]uint64
}

type sockstatField struct{ protocol, state string }

const sockstatCount = 17

// sockstatFields are the numbers of /proc/net/sockstat and sockstat6. mem is in pages,
// memory in bytes.
var sockstatFields = [sockstatCount]sockstatField{
	{"TCP", "inuse"},
	{"TCP", "orphan"},
	{"TCP", "tw"},
	{"TCP", "alloc"},
	{"TCP", "mem"},
	{"UDP", "inuse"},
	{"UDP", "mem"},
	{"UDPLITE", "inuse"},
	{"RAW", "inuse"},
	{"FRAG", "inuse"},
	{"FRAG", "memory"},
	{"TCP6", "inuse"},
	{"UDP6", "inuse"},
	{"UDPLITE6", "inuse"},
	{"RAW6", "inuse"},
	{"FRAG6", "inuse"},
	{"FRAG6", "memory"},
}

var udpQueues = [4]struct{ queue, ip string }{{"tx", "v4"}, {"rx", "v4"}, {"tx", "v6"}, {"rx", "v6"}}

var (
	sockstatProtocolKey = Key{Name: "protocol", Help: "the kernel's word: TCP, UDP, UDPLITE, RAW, FRAG, and with IPv6 TCP6, UDP6, UDPLITE6, RAW6, FRAG6"}

	sockstatUsed = &Metric{
		Name: "sysotel.sockstat.used", Unit: "{socket}", Kind: Gauge, Integer: true,
		Help: "Sockets of all kinds.", Source: "/proc/1/net/sockstat, sockets used",
	}
	sockstatSockets = &Metric{
		Name: "sysotel.sockstat.sockets", Unit: "{socket}", Kind: Gauge, Integer: true,
		Keys: []Key{sockstatProtocolKey, {Name: "state", Help: "the kernel's word: inuse (open), orphan (owned by no process), tw (TIME_WAIT), alloc (holds memory)"}},
		Help: "Sockets and reassembly queues of each protocol.", Source: "/proc/1/net/sockstat and sockstat6",
	}
	sockstatMemory = &Metric{
		Name: "sysotel.sockstat.memory", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{sockstatProtocolKey},
		Help: "Memory that the sockets or the reassembly queues of a protocol hold.", Source: "/proc/1/net/sockstat and sockstat6: mem in pages, memory in bytes",
	}
	sockstatQueues = &Metric{
		Name: "sysotel.sockstat.udp.queues", Unit: "By", Kind: UpDownCounter, Integer: true,
		Keys: []Key{{Name: "queue", Help: "tx or rx"}, {Name: "ip", Help: "v4 or v6"}},
		Help: "Bytes that wait in the queues of UDP sockets, read every 10 s.", Source: "/proc/1/net/udp and udp6",
	}
)

// sockstat reads the kernel's counts of sockets.
type sockstat struct {
	four, six, udp, udp6 networkFile
	slow                 slowLane
	queues               [4]uint64
	odd                  misread
}

func newSockstat() Collector { return &sockstat{} }

func (*sockstat) Name() string { return "sockstat" }

func (*sockstat) Metrics() []*Metric {
	return []*Metric{sockstatUsed, sockstatSockets, sockstatMemory, sockstatQueues}
}

func (s *sockstat) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	r := &Sockstat{Used: unknownCount}
	for i := range r.Numbers {
		r.Numbers[i] = unknownCount
	}
	text, err := s.four.read(h, "sockstat")
	if errors.Is(err, fs.ErrNotExist) && !h.pidsOnly {
		return nil, ErrUnsupported // A kernel without a network.
	}
	if err != nil {
		return nil, err
	}
	good := parseSockets(text, "sockstat", r)
	// Without IPv6 there is no second file.
	if text, err := s.six.read(h, "sockstat6"); err == nil {
		good = parseSockets(text, "sockstat6", r) || good
	} else {
		r.lost("/proc/net/sockstat6", err)
	}
	if !good {
		return nil, fmt.Errorf("parse /proc/net/sockstat: no line can be read: %v", r.Missing())
	}
	if s.slow.due(h.Now()) {
		s.odd = misread{}
		s.queues[0], s.queues[1] = queuesOf(h, &s.udp, "udp", &s.odd)
		s.queues[2], s.queues[3] = queuesOf(h, &s.udp6, "udp6", &s.odd)
	}
	r.UDPQueues = s.queues
	r.noteAll(s.odd)
	return r, nil
}

// parseSockets reads lines such as "TCP: inuse 5 orphan 0 tw 1 alloc 7 mem 2". It reports
// whether any number could be read.
func parseSockets(text []byte, file string, r *Sockstat) (good bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		protocol, rest := cutWord(line)
		protocol, named := bytes.CutSuffix(protocol, []byte{':'})
		if !named {
			continue
		}
		for len(rest) > 0 {
			var state, word []byte
			state, rest = cutWord(rest)
			if word, rest = cutWord(rest); len(state) == 0 {
				break
			}
			to := &r.Used
			if string(protocol) != "sockets" || string(state) != "used" {
				at := sockstatAt(protocol, state)
				if at < 0 {
					continue
				}
				to = &r.Numbers[at]
			}
			n, ok := countOf(word)
			if !ok {
				r.note("/proc/net/"+file+": "+string(protocol)+" "+string(state), notNumber(word))
			}
			*to, good = n, good || ok
		}
	}
	return good
}

// sockstatAt is the place of a number, -1 for one that is not reported.
func sockstatAt(protocol, state []byte) int {
	for i := range sockstatFields {
		if f := &sockstatFields[i]; f.protocol == string(protocol) && f.state == string(state) {
			return i
		}
	}
	return -1
}

// queuesOf adds up the queues of the sockets in /proc/net/udp or udp6; unknownCount where
// there is no such file, or a line of it cannot be read.
func queuesOf(h *Host, f *networkFile, name string, odd *misread) (transmit, receive uint64) {
	text, err := f.read(h, name)
	if err != nil {
		odd.lost("/proc/net/"+name, err)
		return unknownCount, unknownCount
	}
	_, text, _ = bytes.Cut(text, []byte{'\n'})
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		var word []byte
		rest := line
		for range 5 { // sl, local, remote, st, tx_queue:rx_queue.
			word, rest = cutWord(rest)
		}
		if len(word) == 0 && len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		tx, rx, _ := bytes.Cut(word, []byte{':'})
		out, ok1 := parseHex(tx)
		in, ok2 := parseHex(rx)
		if !ok1 || !ok2 {
			odd.note("/proc/net/"+name, quoted(word)+" is not the length of two queues")
			return unknownCount, unknownCount
		}
		transmit, receive = transmit+out, receive+in
	}
	return transmit, receive
}

// parseHex reads up to eight hexadecimal digits.
func parseHex(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		digit, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		n = n<<4 | uint64(digit)
	}
	return n, true
}

// Report implements Reading.
func (s *Sockstat) Report(o *Observer) {
	o.Uint(sockstatUsed, s.Used)
	for i, n := range s.Numbers {
		switch f := &sockstatFields[i]; {
		case f.state == "mem" && n > maxBytes/uint64(os.Getpagesize()):
		case f.state == "mem":
			o.Uint(sockstatMemory, n*uint64(os.Getpagesize()), f.protocol)
		case f.state == "memory":
			o.Uint(sockstatMemory, n, f.protocol)
		default:
			o.Uint(sockstatSockets, n, f.protocol, f.state)
		}
	}
	for i, n := range s.UDPQueues {
		o.Uint(sockstatQueues, n, udpQueues[i].queue, udpQueues[i].ip)
	}
}
