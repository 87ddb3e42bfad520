package portowner

import (
	"slices"
	"testing"
)

func TestListeners(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:A0B2 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
   3: half a line
`
	for port, want := range map[uint64][]string{8080: {"4711"}, 22: {"4713"}, 80: nil} {
		if got := listeners([]byte(text), port); !slices.Equal(got, want) {
			t.Errorf("port %d is held by the sockets %v, want %v", port, got, want)
		}
	}
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte("0: 0100007F:1F90 00000000:0000 0A 0 0 0 0 0 4711\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { listeners(text, 8080) })
}
