// Package portowner names the process that listens on a TCP port.
package portowner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Find names the process that listens on a TCP port of this network
// namespace, "nginx (pid 123)"; empty where it cannot be known. It walks every
// process' open files, so it is for an error message and never for a tick.
func Find(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	inodes := map[string]bool{}
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, _ := os.ReadFile(name)
		for _, inode := range listeners(text, n) {
			inodes["socket:["+inode+"]"] = true
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		files, _ := os.ReadDir("/proc/" + p.Name() + "/fd")
		for _, f := range files {
			to, _ := os.Readlink("/proc/" + p.Name() + "/fd/" + f.Name())
			if inodes[to] {
				comm, _ := os.ReadFile("/proc/" + p.Name() + "/comm")
				return fmt.Sprintf("%q (pid %s)", strings.TrimSpace(string(comm)), p.Name())
			}
		}
	}
	return "a process of another user"
}

// listeners finds the sockets that listen on a port in the text of
// /proc/net/tcp: local address, state 0A, inode (proc_net_tcp, kernel documents).
func listeners(text []byte, port uint64) (inodes []string) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 10 || string(fields[3]) != "0A" {
			continue
		}
		_, hex, _ := bytes.Cut(fields[1], []byte{':'})
		if got, err := strconv.ParseUint(string(hex), 16, 16); err == nil && got == port {
			inodes = append(inodes, string(fields[9]))
		}
	}
	return inodes
}
