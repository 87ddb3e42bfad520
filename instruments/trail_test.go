package instruments

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// TestCountersThatFall is the rule for counters that fall, one line a case: the
// readings of two counters of a device, and what is reported at each as
// "count,count+grown,grown"; "-" is unknown, "!" before a reading says that another
// device has the name.
func TestCountersThatFall(t *testing.T) {
	const none = "18446744073709551615"
	for _, c := range []struct{ what, readings, want string }{
		{"grows", "5,7 6,7 9,9", "5,7+-,- 6,7+1,0 9,9+3,2"},
		{"0 for an instant", "5,5 6,6 0,0 8,8 9,9", "5,5+-,- 6,6+1,1 6,6+-,- 8,8+-,- 9,9+1,1"},
		{"0 for two instants", "5,5 0,0 0,0 8,8 9,9", "5,5+-,- 5,5+-,- 5,5+-,- 8,8+-,- 9,9+1,1"},
		{"back where it was", "5,5 0,0 5,5 6,5", "5,5+-,- 5,5+-,- 5,5+-,- 6,5+1,0"},
		{"a reset", "50,50 1,0 3,2 4,4", "50,50+-,- 50,50+-,- 3,2+2,2 4,4+1,2"},
		{"a reset and silence", "50,50 1,1 1,1 1,1 1,1 1,1 1,1 2,1", "50,50+-,- 50,50+-,- 50,50+-,- 50,50+-,- 50,50+-,- 50,50+-,- 1,1+0,0 2,1+1,0"},
		{"one counter alone", "5,5 6,4 7,5 8,6", "5,5+-,- 5,5+-,- 7,5+-,- 8,6+1,1"},
		{"one counter is reset", "5,50 6,1 7,2 8,3", "5,50+-,- 5,50+-,- 7,2+1,1 8,3+1,1"},
		{"falls at every reading", "9,9 8,9 7,9 6,9 9,9 9,9", "9,9+-,- 9,9+-,- 9,9+-,- 9,9+-,- 9,9+-,- 9,9+0,0"},
		{"a counter below 0, written without a sign", "5,5 6,18446744073709543424 7,7 8,8", "5,5+-,- 6,-+1,- 7,7+1,- 8,8+1,1"},
		{"one that is not told", "5," + none + " 6," + none + " 7,7 8,8", "5,-+-,- 6,-+1,- 7,7+1,- 8,8+1,1"},
		{"none is told", "5,5 " + none + "," + none + " 7,7 8,8", "5,5+-,- -,-+-,- 7,7+-,- 8,8+1,1"},
		{"another device, counting less", "5,5 !3,9 4,9", "5,5+-,- 3,9+-,- 4,9+1,0"},
		{"another device, counting more", "5,5 !6,9 7,9", "5,5+-,- 0,0+-,- 7,9+1,0"},
		{"another device during an instant of 0", "5,5 0,0 !6,6 7,7", "5,5+-,- 5,5+-,- 0,0+-,- 7,7+1,1"},
		{"never a wrap", "4294967290,0 4,0 6,0", "4294967290,0+-,- 4294967290,0+-,- 6,0+2,0"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var tr trail[[2]uint64]
			var got []string
			before := [2]uint64{}
			for _, text := range strings.Fields(c.readings) {
				number, replaced := strings.CutPrefix(text, "!")
				var r [2]uint64
				if _, err := fmt.Sscanf(number, "%d,%d", &r[0], &r[1]); err != nil {
					t.Fatal(err)
				}
				if replaced {
					tr.replace(r)
				} else {
					tr.next(r)
				}
				var counts, grown []string
				for i := range r {
					count, more := "-", "-"
					if n := tr.count(i); n != unknownCount {
						count = fmt.Sprint(n)
						if n < before[i] && !replaced && tr.held() {
							t.Errorf("a held counter fell from %d to %d", before[i], n)
						}
						before[i] = n
					}
					if d := tr.grown(i); !math.IsNaN(d) {
						more = fmt.Sprint(d)
					}
					counts, grown = append(counts, count), append(grown, more)
				}
				got = append(got, strings.Join(counts, ",")+"+"+strings.Join(grown, ","))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}
