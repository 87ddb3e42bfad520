package instruments

import (
	"math"
	"testing"
)

// counted is a reading of one number.
type counted uint64

func (c counted) Report(o *Observer) { o.Uint(memoryLimit, uint64(c)) }

// What a count cannot be is not reported, rather than as the largest number there is.
func TestUintLeavesOutWhatIsNoCount(t *testing.T) {
	for value, known := range map[uint64]bool{
		0: true, 1: true, 1 << 62: true, math.MaxInt64: true,
		1 << 63: false, math.MaxUint64 - 16<<20: false, math.MaxUint64: false,
	} {
		reported := false
		Visit(counted(value), func(_ *Metric, got float64, _ []string) {
			if reported = true; got != float64(value) {
				t.Errorf("%d is reported as %v", value, got)
			}
		})
		if reported != known {
			t.Errorf("%d is reported: %v, want %v", value, reported, known)
		}
	}
}
