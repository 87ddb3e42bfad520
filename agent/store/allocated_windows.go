package store

import "io/fs"

// allocated is what a file takes of the disk.
func allocated(info fs.FileInfo) int64 { return info.Size() }
