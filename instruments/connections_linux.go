package instruments

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// connectionSource counts sockets. gopsutil would read /proc/PID/fd of every
// process to find the owner of each, which nobody asked for.
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

// netlinkReaches tells whether a netlink socket of the agent sees the machine's
// sockets. Below another root that must be proven: it may be a recorded machine.
func (h *Host) netlinkReaches() bool {
	return h.ownNetwork && (h.root == "/" || h.link("proc/1/ns/net") != "")
}

// parseTCPTable counts the sockets of /proc/net/tcp or tcp6, proc_pid_net(5): a
// line of titles, then slot, local and remote address, and state in hexadecimal.
func parseTCPTable(text []byte, c *tcpCounts) error {
	_, text, _ = bytes.Cut(text, []byte{'\n'})
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
		if len(word) != 2 {
			return fmt.Errorf("line %q: %q is not a state", line, word)
		}
		high, ok1 := hexDigit(word[0])
		low, ok2 := hexDigit(word[1])
		if !ok1 || !ok2 {
			return fmt.Errorf("line %q: %q is not a state", line, word)
		}
		c.add(high<<4 | low)
	}
	return nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// sockets reads the kernel's totals, nil where it tells none.
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
// "TCP: inuse 5 orphan 0 tw 1 alloc 7 mem 2". It tells whether there was any.
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
		for {
			var name, value []byte
			name, rest = cutWord(rest)
			value, rest = cutWord(rest)
			n, ok := parseUint(value)
			if !ok {
				break
			}
			switch {
			case string(name) == "inuse" && tcp:
				s.TCPInUse += n
			case string(name) == "inuse":
				s.UDPInUse += n
			case string(name) == "orphan":
				s.TCPOrphans += n
			case string(name) == "tw":
				s.TCPTimeWait += n
			case string(name) == "alloc":
				s.TCPAllocated += n
			default:
				continue
			}
			found = true
		}
	}
	return found
}

// Sizes of the structures in linux/netlink.h and linux/inet_diag.h.
const (
	netlinkHeader  = 16
	inetDiagAsk    = 56
	inetDiagAnswer = 72
)

// netlinkWait is how long one answer of the kernel may take in coming.
var netlinkWait = unix.Timeval{Sec: 0, Usec: 200_000}

// netlinkTCP asks the kernel for all TCP sockets of IPv4 and IPv6, sock_diag(7).
func (s *connectionSource) netlinkTCP(ctx context.Context) (*tcpCounts, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &netlinkWait); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if s.buf == nil {
		s.buf = make([]byte, 32<<10)
	}
	// A dump during which the table changed says so, and may have missed some.
	for range 3 {
		var c tcpCounts
		whole := true
		for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
			got, err := s.dump(ctx, fd, family, &c)
			if family == unix.AF_INET6 && errors.Is(err, unix.ENOENT) {
				continue // A kernel without IPv6.
			}
			if err != nil {
				return nil, err
			}
			whole = whole && got
		}
		if whole {
			return &c, nil
		}
	}
	return nil, errors.New("the table changed while it was read, three times")
}

// dump asks for all TCP sockets of one address family and counts the answers.
// It tells whether the answer was whole.
func (s *connectionSource) dump(ctx context.Context, fd int, family byte, c *tcpCounts) (whole bool, err error) {
	s.seq++
	ask := inetDiagRequest(family, s.seq)
	if err := unix.Sendto(fd, ask[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false, os.NewSyscallError("sendto", err)
	}
	whole = true
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, _, flags, from, err := unix.Recvmsg(fd, s.buf, nil, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return false, errors.New("no answer within 200 ms")
		case err != nil:
			return false, os.NewSyscallError("recvmsg", err)
		case flags&unix.MSG_TRUNC != 0:
			return false, fmt.Errorf("an answer is longer than %d bytes", len(s.buf))
		}
		if sender, ok := from.(*unix.SockaddrNetlink); !ok || sender.Pid != 0 {
			continue // Any process can send; only the kernel is believed.
		}
		done, complete, err := parseInetDiag(s.buf[:n], s.seq, c)
		whole = whole && complete
		if err != nil || done {
			return whole, err
		}
	}
}

// inetDiagRequest is a struct nlmsghdr and a struct inet_diag_req_v2 that ask for
// all TCP sockets in any state.
func inetDiagRequest(family byte, seq uint32) (b [netlinkHeader + inetDiagAsk]byte) {
	order := binary.NativeEndian
	order.PutUint32(b[0:], uint32(len(b)))
	order.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	order.PutUint32(b[8:], seq)
	b[netlinkHeader] = family
	b[netlinkHeader+1] = unix.IPPROTO_TCP
	order.PutUint32(b[netlinkHeader+4:], ^uint32(0))
	return b
}

// parseInetDiag counts the sockets in one datagram of the kernel's answer to the
// request seq. done tells that it was the last, whole that nothing was missed.
func parseInetDiag(b []byte, seq uint32, c *tcpCounts) (done, whole bool, err error) {
	order := binary.NativeEndian
	whole = true
	for len(b) > 0 {
		if len(b) < netlinkHeader {
			return false, whole, fmt.Errorf("a message has %d bytes, its header alone has %d", len(b), netlinkHeader)
		}
		size := order.Uint32(b)
		if size < netlinkHeader || uint64(size) > uint64(len(b)) {
			return false, whole, fmt.Errorf("a message claims %d bytes of the %d that are there", size, len(b))
		}
		kind, flags := order.Uint16(b[4:]), order.Uint16(b[6:])
		answers := order.Uint32(b[8:])
		body := b[netlinkHeader:size]
		b = b[min((int(size)+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
		if answers != seq {
			continue // The rest of an answer that was given up.
		}
		if flags&unix.NLM_F_DUMP_INTR != 0 {
			whole = false
		}
		switch kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			// Both begin with an error number, which the kernel makes negative.
			if len(body) >= 4 {
				if number := int32(order.Uint32(body)); number < 0 {
					return true, whole, os.NewSyscallError("sock_diag", unix.Errno(-number))
				}
			} else if kind == unix.NLMSG_ERROR {
				return true, whole, errors.New("an error message has no error number")
			}
			return true, whole, nil
		case unix.SOCK_DIAG_BY_FAMILY:
			if len(body) < inetDiagAnswer {
				return false, whole, fmt.Errorf("a socket has %d bytes, at least %d are needed", len(body), inetDiagAnswer)
			}
			c.add(body[1])
		}
	}
	return false, whole, nil
}
