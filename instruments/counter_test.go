package instruments

import (
	"fmt"
	"math"
	"testing"
)

func TestCounter(t *testing.T) {
	const none = unknownCount
	for _, c := range []struct {
		what string
		now  []uint64
		want string
	}{
		{"rises", []uint64{5, 5, 8, math.MaxInt64}, "5 0 3 9223372036854775799"},
		{"shows 0 for an instant", []uint64{4e12, 0, 4e12 + 3e5, 4e12 + 4e5}, "4000000000000 - 300000 100000"},
		{"shows 0 for a while", []uint64{4e12, 0, 0, 0, 4e12 + 3e5}, "4000000000000 - 0 0 300000"},
		{"goes back a little", []uint64{100, 90, 90, 110, 120}, "100 - 0 10 10"},
		{"is reset", []uint64{1030, 100, 150, 170}, "1030 - 50 20"},
		{"is reset and grows past where it was", []uint64{100, 0, 40, 90, 130, 140}, "100 - 40 50 30 10"},
		{"is reset twice", []uint64{100, 10, 20, 5, 15, 101}, "100 - 10 - 10 1"},
		{"falls all the time", []uint64{100, 90, 80, 70, 75}, "100 - - - 5"},
		{"is no count for an instant", []uint64{8192, none, none, 8292}, "8192 - - 100"},
	} {
		var k counter
		got := ""
		for _, now := range c.now {
			if by, known := k.grow(now); known {
				got += fmt.Sprint(by, " ")
			} else {
				got += "- "
			}
		}
		if got != c.want+" " {
			t.Errorf("one that %s: %s, want %s", c.what, got, c.want)
		}
	}
}

// FuzzCounter: whatever a counter shows, the sum of its differences is never above the
// maximum, and no difference is above what is shown.
func FuzzCounter(f *testing.F) {
	f.Add(uint64(100), uint64(0), uint64(120), uint64(50))
	f.Fuzz(func(t *testing.T, a, b, c, d uint64) {
		var k counter
		k.start(0)
		var fell bool
		var sum, most, last uint64
		for _, n := range []uint64{a, b, c, d} {
			n %= 1 << 60
			by, known := k.grow(n)
			if known != (n >= last) || by > n {
				t.Fatalf("%d after %d has grown by %d, %t", n, last, by, known)
			}
			fell = fell || n < last
			sum, most, last = sum+by, max(most, n), n
			if k.held() != most {
				t.Fatalf("%d is held, the maximum was %d", k.held(), most)
			}
		}
		if !fell && sum != most {
			t.Fatalf("one that has never fallen grew by %d to %d", sum, most)
		}
	})
}
