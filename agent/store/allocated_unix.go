//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// allocated returns the size of a file on disk; the library preallocates some.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), s.Blocks*512)
	}
	return info.Size()
}
