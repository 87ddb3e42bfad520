package instruments

// ledger follows counters that are not reset together, each by itself as trail does.
type ledger []trail[[1]uint64]

// next takes the next number of a counter and returns what is reported of it:
// unknownCount where the reading does not tell it.
func (l ledger) next(i int, n uint64) uint64 {
	l[i].next([1]uint64{n})
	return l[i].count(0)
}

// miss notes that there was no reading.
func (l ledger) miss() {
	for i := range l {
		l[i].miss()
	}
}

// countOf reads a whole number that can be a count, unknownCount where it is none.
func countOf(word []byte) (uint64, bool) {
	n, ok := parseUint(word)
	if !ok || !isCount(n) {
		return unknownCount, false
	}
	return n, true
}
