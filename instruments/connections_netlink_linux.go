package instruments

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Sizes of the structures in linux/netlink.h and linux/inet_diag.h.
const (
	netlinkHeader  = 16
	inetDiagAsk    = 60
	inetDiagAnswer = 72
)

// tcpDiagGetSock is TCPDIAG_GETSOCK of linux/inet_diag.h, the older of the
// kernel's two questions. It is the one that can be asked for IPv4 and IPv6
// together; the newer one walks the kernel's whole table of sockets, of megabytes
// on a machine with much memory, once for each.
const tcpDiagGetSock = 18

// netlinkWait is how long one answer of the kernel may take in coming.
var netlinkWait = unix.Timeval{Sec: 0, Usec: 200_000}

// netlinkTCP asks the kernel for all TCP sockets of IPv4 and IPv6, sock_diag(7).
func (s *connectionSource) netlinkTCP(ctx context.Context) (*tcpCounts, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &netlinkWait); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if s.buf == nil {
		s.buf = make([]byte, 32<<10)
	}
	// A dump during which the table changed says so, and may have missed some.
	for range 3 {
		var c tcpCounts
		whole, err := s.dump(ctx, fd, &c)
		if err != nil {
			return nil, err
		}
		if whole {
			return &c, nil
		}
	}
	return nil, errors.New("the table changed while it was read, three times")
}

// dump asks for all TCP sockets and counts the answers. It reports whether the
// answer was whole.
func (s *connectionSource) dump(ctx context.Context, fd int, c *tcpCounts) (whole bool, err error) {
	s.seq++
	ask := inetDiagRequest(s.seq)
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

// inetDiagRequest is a struct nlmsghdr and a struct inet_diag_req that ask for
// all TCP sockets in any state.
func inetDiagRequest(seq uint32) (b [netlinkHeader + inetDiagAsk]byte) {
	order := binary.NativeEndian
	order.PutUint32(b[0:], uint32(len(b)))
	order.PutUint16(b[4:], tcpDiagGetSock)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	order.PutUint32(b[8:], seq)
	order.PutUint32(b[len(b)-8:], ^uint32(0)) // The states; after them stands a cursor.
	return b
}

// parseInetDiag counts the sockets in one datagram of the kernel's answer to the
// request seq. done means that it was the last, whole that nothing was missed.
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
		case tcpDiagGetSock:
			if len(body) < inetDiagAnswer {
				return false, whole, fmt.Errorf("a socket has %d bytes, at least %d are needed", len(body), inetDiagAnswer)
			}
			c.add(body[1])
		}
	}
	return false, whole, nil
}
