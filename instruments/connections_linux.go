package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
)

// connectionSource counts sockets. gopsutil would read /proc/PID/fd of every
// process to find the owner of each, which is not needed.
type connectionSource struct {
	sockstat, sockstat6 networkFile
	buf                 []byte
	seq                 uint32
}

// tcp counts TCP sockets by state: over netlink, which sends 100 bytes a socket,
// and where the agent is in another network namespace than the machine, or
// netlink is barred, from the tables of /proc, which format 150 characters each.
func (s *connectionSource) tcp(ctx context.Context, h *Host) (*tcpCounts, error) {
	var refused error
	if h.netlinkReaches() {
		c, err := s.netlinkTCP(ctx)
		if err == nil {
			return c, nil
		}
		refused = fmt.Errorf("count TCP sockets over netlink: %w", err)
	}
	var c tcpCounts
	for _, name := range [...]string{"tcp", "tcp6"} {
		// The table of a busy server has megabytes, so its buffer is not kept.
		var table networkFile
		text, err := table.read(h, name)
		table.close()
		if errors.Is(err, fs.ErrNotExist) && name == "tcp6" {
			continue // A kernel without IPv6.
		}
		if err != nil {
			return nil, errors.Join(refused, err)
		}
		if err := parseTCPTable(text, &c); err != nil {
			return nil, errors.Join(refused, fmt.Errorf("parse /proc/net/%s: %w", name, err))
		}
	}
	return &c, nil
}

func (f *networkFile) close() {
	if f.first != nil {
		f.first.close()
		f.own.close()
	}
}

// netlinkReaches reports whether a netlink socket of the agent sees the machine's
// sockets. Below another root that must be proven: it may be a recorded machine.
func (h *Host) netlinkReaches() bool {
	return h.ownNetwork && (h.root == "/" || h.link("proc/1/ns/net") != "")
}

// parseTCPTable counts the sockets of /proc/net/tcp or tcp6, proc_pid_net(5): a
// line of titles, then slot, local and remote address, and state in hexadecimal. Lines
// that have no state are left out and counted; a table with only such is an error.
func parseTCPTable(text []byte, c *tcpCounts) error {
	_, text, _ = bytes.Cut(text, []byte{'\n'})
	good := false
	var odd error
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if len(line) == 0 {
			continue
		}
		rest := line
		var word []byte
		for range 4 {
			word, rest = cutWord(rest)
		}
		var state byte
		ok := len(word) == 2
		for _, digit := range word[:min(len(word), 2)] {
			value, isDigit := hexDigit(digit)
			state, ok = state<<4|value, ok && isDigit
		}
		if !ok {
			if c.add(0); odd == nil {
				odd = fmt.Errorf("line %s: %s is not a state", quoted(line), quoted(word))
			}
			continue
		}
		good = true
		c.add(state)
	}
	if good {
		return nil
	}
	return odd
}

// sockets reads the kernel's totals, nil if it has none; one that cannot be read is
// unknownCount.
func (s *connectionSource) sockets(h *Host) *Sockets {
	text, err := s.sockstat.read(h, "sockstat")
	if err != nil {
		return nil
	}
	var r Sockets
	if !parseSockstat(text, &r) {
		return nil
	}
	// Without IPv6 there is no second file, and nothing to add.
	if text, err := s.sockstat6.read(h, "sockstat6"); err == nil {
		parseSockstat(text, &r)
	}
	return &r
}

// parseSockstat adds the totals of /proc/net/sockstat or sockstat6 to s:
// "TCP: inuse 5 orphan 0 tw 1 alloc 7 mem 2". It reports whether there was any.
func parseSockstat(text []byte, s *Sockets) bool {
	found := false
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		protocol, rest := cutWord(line)
		tcp := string(protocol) == "TCP:" || string(protocol) == "TCP6:"
		if !tcp && string(protocol) != "UDP:" && string(protocol) != "UDP6:" {
			continue
		}
		for len(rest) > 0 {
			var name, value []byte
			name, rest = cutWord(rest)
			value, rest = cutWord(rest)
			var to *uint64
			switch {
			case string(name) == "inuse" && tcp:
				to = &s.TCPInUse
			case string(name) == "inuse":
				to = &s.UDPInUse
			case string(name) == "orphan":
				to = &s.TCPOrphans
			case string(name) == "tw":
				to = &s.TCPTimeWait
			case string(name) == "alloc":
				to = &s.TCPAllocated
			default:
				continue
			}
			found = true
			switch n, ok := parseUint(value); {
			case !ok || n > math.MaxInt64 || *to > math.MaxInt64-n:
				*to = unknownCount
			default:
				*to += n
			}
		}
	}
	return found
}
