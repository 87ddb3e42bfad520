package instruments

// witness finds out whether a device counts what its relative counts too. A disk is
// dropped from a total only when what carries it is seen to count: heads of NVMe disks
// keep no counts before Linux 6.4, and counting can be switched off for any queue. It
// counts until it is seen not to: never anything, or nothing for quietTicks in which
// the relative did something.
type witness struct {
	quiet  uint8
	silent bool
}

const quietTicks = 3

// see compares what a device counted in this tick (and ever) with what its relative
// did. Unknown numbers say nothing.
func (w *witness) see(ever uint64, counted, relative float64) {
	switch {
	case counted > 0:
		*w = witness{}
	case !(relative > 0):
	case ever == 0:
		w.silent = true
	case counted == 0 && w.quiet < quietTicks:
		w.quiet++
		w.silent = w.silent || w.quiet == quietTicks
	}
}
