package textfile

import "io/fs"

const nonblocking = 0

// mayFollow reports true: making links needs a privilege on Windows.
func mayFollow(_, _ fs.FileInfo) bool { return true }

// names returns 1: a hard link needs write access to the file on Windows.
func names(fs.FileInfo) uint64 { return 1 }
