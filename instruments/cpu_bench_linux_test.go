package instruments

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// BenchmarkReadManyProcessors is the collector cpu on a machine of 64 processors.
func BenchmarkReadManyProcessors(b *testing.B) {
	tree := b.TempDir()
	var text strings.Builder
	text.WriteString("cpu  6400000 0 640000 64000000 0 0 0 0 0 0\n")
	for i := range 64 {
		fmt.Fprintf(&text, "cpu%d 100000 0 10000 1000000 0 0 0 0 0 0\n", i)
	}
	if err := os.MkdirAll(tree+"/proc", 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(tree+"/proc/stat", []byte(text.String()+"btime 1767225600\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	h, c := NewHost(tree), newCPU()
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		if _, err := c.Read(b.Context(), h, Tick{Seq: seq, Interval: time.Second}); err != nil {
			b.Fatal(err)
		}
	}
}
