//go:build unix

package app

import (
	"io/fs"
	"os"
	"syscall"
)

// trustworthy reports whether only root and the agent's user can put links into a
// directory: through one, the agent would write somewhere else.
func trustworthy(dir fs.FileInfo) bool {
	s, ok := dir.Sys().(*syscall.Stat_t)
	return ok && (s.Uid == 0 || int(s.Uid) == os.Geteuid()) && dir.Mode().Perm()&0o002 == 0
}
