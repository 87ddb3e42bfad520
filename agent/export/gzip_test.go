package export

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
)

// TestQuickGzip: it is the one that gRPC takes, what it writes is read by another
// implementation, and the other way round, again and again with the same writer.
func TestQuickGzip(t *testing.T) {
	c := encoding.GetCompressor("gzip")
	if _, ours := c.(*quickGzip); !ours {
		t.Fatalf("gRPC takes %T", c)
	}
	for i := range 3 {
		text := strings.Repeat("system.cpu.time ", 1000*i+1)
		var theirs, ours bytes.Buffer
		for to, open := range map[*bytes.Buffer]func(io.Writer) (io.WriteCloser, error){
			&ours: c.Compress, &theirs: func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		} {
			w, err := open(to)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for from, open := range map[*bytes.Buffer]func(io.Reader) (io.Reader, error){
			&theirs: c.Decompress, &ours: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		} {
			r, err := open(from)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != text {
				t.Errorf("text %d comes back as %d bytes of %d, %v", i, len(got), len(text), err)
			}
		}
	}
}
