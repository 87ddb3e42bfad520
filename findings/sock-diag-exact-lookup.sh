#!/bin/bash
# Linux sock_diag: an exact look-up of a TCP connection answers with other sockets, or with root.
#
# Version:  Linux 6.18; the kernel that it runs on is printed. golang.org/x/sys v0.43.0.
# Expected: SOCK_DIAG_BY_FAMILY without NLM_F_DUMP and with all four of a connection's addresses and
#           ports gives that connection and its user, or ENOENT where there is none.
# Observed: where there is no such connection, but a listener on the source port, it gives the
#           listener. And a connection that its program has closed while the other side has not
#           (FIN-WAIT-2, state 5) is given with uid 0 and inode 0: root, for whoever takes the uid
#           alone. One must look at state and inode as well.
# Output:   open: state 1, user the program's, with an inode
#           closed by its program: state 5, user 0, without an inode
#           never there: state 10, user the program's, with an inode
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'E'
module finding

go 1.26

require golang.org/x/sys v0.43.0
E
cat > main.go <<'E'
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// lookUp asks for the socket from one address to another.
func lookUp(from, to *net.TCPAddr) string {
	fd := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG))
	defer unix.Close(fd)
	request := make([]byte, 16+56)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], 20) // SOCK_DIAG_BY_FAMILY
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST)
	body := request[16:]
	body[0], body[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], ^uint32(0)) // every state
	binary.BigEndian.PutUint16(body[8:], uint16(from.Port))
	binary.BigEndian.PutUint16(body[10:], uint16(to.Port))
	copy(body[12:], from.IP.To4())
	copy(body[28:], to.IP.To4())
	copy(body[48:], []byte{255, 255, 255, 255, 255, 255, 255, 255}) // no cookie
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		panic(err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	must(n, err)
	if binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		return syscall.Errno(-int32(binary.NativeEndian.Uint32(answer[16:]))).Error()
	}
	socket := answer[16:]
	user, inode := "0", "without an inode"
	if uid := binary.NativeEndian.Uint32(socket[64:]); int(uid) == unix.Getuid() && uid != 0 {
		user = "the program's"
	}
	if binary.NativeEndian.Uint32(socket[68:]) != 0 {
		inode = "with an inode"
	}
	return fmt.Sprintf("state %d, user %s, %s", socket[1], user, inode)
}

func main() {
	if unix.Getuid() == 0 {
		if err := syscall.Setuid(12345); err != nil {
			panic(err)
		}
	}
	listener := must(net.Listen("tcp4", "127.0.0.1:0")).(*net.TCPListener)
	client := must(net.Dial("tcp4", listener.Addr().String()))
	server := must(listener.Accept())
	from, to := client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
	fmt.Println("open:", lookUp(from, to))
	client.Close()
	one := make([]byte, 1)
	server.Read(one) // Until the end has arrived; in FIN-WAIT-1, state 4, it is not acknowledged.
	closed := lookUp(from, to)
	for strings.HasPrefix(closed, "state 4,") {
		time.Sleep(time.Millisecond)
		closed = lookUp(from, to)
	}
	fmt.Println("closed by its program:", closed)
	fmt.Println("never there:", lookUp(to, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}))
}
E
output=$(GOFLAGS=-mod=mod go run .)
observed="open: state 1, user the program's, with an inode
closed by its program: state 5, user 0, without an inode
never there: state 10, user the program's, with an inode"
echo "version:  Linux $(uname -r)"
echo 'expected: the connection of the four addresses and ports with its user, or ENOENT'
echo 'observed: a listener in its place; uid 0 for a connection that its program has closed'
echo "$output"
if [ "$output" != "$observed" ]; then
	echo 'CHANGED: the output differs from the one in this script'
	exit 1
fi
