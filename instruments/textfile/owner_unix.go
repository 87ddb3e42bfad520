//go:build unix

package textfile

import (
	"io/fs"
	"os"
	"syscall"
)

// nonblocking is the flag with which opening a pipe does not wait.
const nonblocking = syscall.O_NONBLOCK

// mayFollow reports whether who made a link may read its target anyway.
func mayFollow(link, target fs.FileInfo) bool {
	l, ok1 := link.Sys().(*syscall.Stat_t)
	t, ok2 := target.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 {
		return false
	}
	return l.Uid == 0 || int(l.Uid) == os.Geteuid() || l.Uid == t.Uid
}

// names returns the number of names of a file.
func names(file fs.FileInfo) uint64 {
	s, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(s.Nlink) //nolint:unconvert // It is narrower on other systems.
}
