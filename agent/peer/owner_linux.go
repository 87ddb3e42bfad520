package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The structures of linux/netlink.h and linux/inet_diag.h, in bytes, and what is
// read of them.
const (
	headerSize   = 16
	questionSize = 56 // struct inet_diag_req_v2
	answerSize   = 72 // struct inet_diag_msg
	socketAt     = 8  // struct inet_diag_sockid in the question,
	answeredAt   = 4  // and in the answer.
	uidAt        = 64
	inodeAt      = 68
	// established is TCP_ESTABLISHED of net/tcp_states.h.
	established = 1
	// nobody is the number by which the kernel names users that it cannot name in this
	// user namespace (overflowuid).
	nobody = 65534
)

// patience bounds the wait for the kernel, which answers at once.
var patience = unix.Timeval{Usec: 200_000}

// socket is the address pair of a socket: its own, and its peer's.
type socket struct{ local, remote netip.AddrPort }

// Owner returns the user who created the socket at the other end of a connection
// whose both ends are in this network namespace, or an error that wraps ErrUnknown.
// It asks for that one socket by its addresses, sock_diag(7), in about 10 µs.
//
// The socket must be established and still open. A closed one has no owner anymore,
// and the kernel then says 0, which is root's number. The owner stays the same when a
// process drops its rights or hands the socket over: who opens a connection as root
// and gives it away gives root's rights away.
func Owner(conn net.Conn) (uid uint32, err error) {
	server, ok := conn.LocalAddr().(*net.TCPAddr)
	client, also := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || !also {
		return 0, fmt.Errorf("%w: it is no TCP connection", ErrUnknown)
	}
	uid, err = ask(socket{local: bare(client), remote: bare(server)})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return uid, nil
}

// bare is an address in the form that the kernel looks it up: IPv4 for the mapped
// ones that a socket of both families sees.
func bare(a *net.TCPAddr) netip.AddrPort {
	at := a.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// ask asks the kernel for one socket.
func ask(s socket) (uid uint32, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return 0, err
	}
	question := question(s)
	if err := unix.Sendto(fd, question[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	var b [1024]byte
	for {
		n, from, err := unix.Recvfrom(fd, b[:], 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		}
		if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 { // Any process can send; only the kernel is believed.
			return owner(b[:n], s)
		}
	}
}

// question is a struct nlmsghdr and a struct inet_diag_req_v2 for one socket.
func question(s socket) (b [headerSize + questionSize]byte) {
	order := binary.NativeEndian
	order.PutUint32(b[0:], uint32(len(b)))
	order.PutUint16(b[4:], unix.SOCK_DIAG_BY_FAMILY)
	order.PutUint16(b[6:], unix.NLM_F_REQUEST) // Without NLM_F_DUMP: one socket.
	body := b[headerSize:]
	body[0], body[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if s.local.Addr().Is4() {
		body[0] = unix.AF_INET
	}
	order.PutUint32(body[4:], ^uint32(0))
	id := body[socketAt:]
	binary.BigEndian.PutUint16(id[0:], s.local.Port())
	binary.BigEndian.PutUint16(id[2:], s.remote.Port())
	copy(id[4:20], s.local.Addr().AsSlice())
	copy(id[20:36], s.remote.Addr().AsSlice())
	order.PutUint64(id[40:], ^uint64(0)) // INET_DIAG_NOCOOKIE: any generation of it.
	return b
}

// owner reads the answer. The kernel answers with a listening socket if the one that
// was asked for is gone, so the addresses are compared.
func owner(b []byte, s socket) (uid uint32, err error) {
	order := binary.NativeEndian
	if len(b) < headerSize+4 {
		return 0, fmt.Errorf("an answer of %d bytes", len(b))
	}
	kind, body := order.Uint16(b[4:]), b[headerSize:]
	if kind == unix.NLMSG_ERROR {
		return 0, unix.Errno(-int32(order.Uint32(body)))
	}
	if kind != unix.SOCK_DIAG_BY_FAMILY || len(body) < answerSize {
		return 0, fmt.Errorf("an answer of kind %d and %d bytes", kind, len(b))
	}
	if body[1] != established || order.Uint32(body[inodeAt:]) == 0 {
		return 0, errors.New("it is closed")
	}
	if answered(body) != s {
		return 0, errors.New("the kernel answered for another socket")
	}
	if uid = order.Uint32(body[uidAt:]); uid == nobody {
		return 0, errors.New("its user has no number in this user namespace")
	}
	return uid, nil
}

// answered is the socket that an answer is about.
func answered(body []byte) socket {
	id := body[answeredAt:]
	at := func(address []byte, port uint16) netip.AddrPort {
		if body[0] == unix.AF_INET {
			address = address[:4]
		}
		addr, _ := netip.AddrFromSlice(address)
		return netip.AddrPortFrom(addr.Unmap(), port)
	}
	return socket{at(id[4:20], binary.BigEndian.Uint16(id)), at(id[20:36], binary.BigEndian.Uint16(id[2:]))}
}
