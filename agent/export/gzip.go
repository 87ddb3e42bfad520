package export

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/encoding"
)

// quickGzip replaces gRPC's own gzip, which takes twice the time, and whose writers, of
// almost a megabyte each, are freed and allocated again with each garbage collection.
type quickGzip struct {
	idle chan *gzip.Writer
}

// gRPC has one implementation per name, which can be replaced only during
// initialization.
func init() { //nolint:gochecknoinits // See above.
	encoding.RegisterCompressor(&quickGzip{idle: make(chan *gzip.Writer, 1)})
}

// gzipName is the name of the compression in the headers of a call.
const gzipName = "gzip"

// Name implements encoding.Compressor.
func (*quickGzip) Name() string { return gzipName }

// Compress implements encoding.Compressor. Requests are as repetitive as the page, so the
// fastest level is enough, see to_prometheus.go.
func (c *quickGzip) Compress(to io.Writer) (io.WriteCloser, error) {
	select {
	case w := <-c.idle:
		w.Reset(to)
		return gzipWriter{w, c}, nil
	default:
	}
	w, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	return gzipWriter{w, c}, err
}

// Decompress implements encoding.Compressor.
func (*quickGzip) Decompress(from io.Reader) (io.Reader, error) { return gzip.NewReader(from) }

// gzipWriter is a writer that is reused.
type gzipWriter struct {
	*gzip.Writer
	of *quickGzip
}

// Close implements io.Closer.
func (w gzipWriter) Close() error {
	err := w.Writer.Close()
	select {
	case w.of.idle <- w.Writer:
	default: // Another one is idle already.
	}
	return err
}
