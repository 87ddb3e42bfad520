//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// allocated is what a file takes of the disk; the library makes some longer than
// they are filled.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return min(info.Size(), s.Blocks*512)
	}
	return info.Size()
}
