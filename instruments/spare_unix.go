//go:build unix

package instruments

import "golang.org/x/sys/unix"

// ownFiles is how many files the agent opens beside those of processes and of
// connections: of its store, its other files, /proc and /sys.
const ownFiles = 160

// SpareFiles returns how many files this process may open for processes and
// connections, beyond those that the agent needs in any case, and its limit
// (RLIMIT_NOFILE of getrlimit(2), which Go's runtime raises to the hard limit). Half of
// them is for processes, a quarter for each of two listeners. Negative if the agent
// cannot work, and a very large number without a limit.
func SpareFiles() (spare, limit int) {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || uint64(l.Cur) > manyFiles {
		return manyFiles, manyFiles
	}
	return int(l.Cur) - ownFiles, int(l.Cur)
}

// manyFiles is more than the agent ever opens.
const manyFiles = 1 << 20
