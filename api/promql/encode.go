package promql

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
)

// encoder writes a successful response in pieces, so that a long one is never
// held in memory as text.
type encoder struct {
	out io.Writer
	buf []byte
	err error // of out; the rest of the response is dropped
}

// pieceSize is the size at which a piece is written; the buffer has room for the
// longest label beyond it.
const pieceSize = 32 << 10

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, pieceSize+4<<10)} }}

// newEncoder starts a response.
func newEncoder(w http.ResponseWriter) *encoder {
	e := encoders.Get().(*encoder)
	*e = encoder{out: w, buf: e.buf[:0]}
	w.Header().Set("Content-Type", "application/json")
	e.raw(`{"status":"success","data":`)
	return e
}

// free returns the buffer to the pool.
func (e *encoder) free() {
	e.out = nil
	if cap(e.buf) <= 4*pieceSize {
		encoders.Put(e)
	}
}

// end finishes the response. The query is for the positions in warnings.
func (e *encoder) end(notes annotations.Annotations, query string) {
	warnings, infos := notes.AsStrings(query, 10, 10)
	if len(warnings) > 0 {
		e.raw(`,"warnings":`)
		e.words(warnings)
	}
	if len(infos) > 0 {
		e.raw(`,"infos":`)
		e.words(infos)
	}
	e.raw(`}`)
	e.flush()
}

func (e *encoder) flush() {
	if e.err == nil {
		_, e.err = e.out.Write(e.buf)
	}
	e.buf = e.buf[:0]
}

func (e *encoder) raw(text string) { e.buf = append(e.buf, text...) }

// comma separates the elements of a list, of which this is the i-th.
func (e *encoder) comma(i int) {
	if i > 0 {
		e.buf = append(e.buf, ',')
	}
	if len(e.buf) >= pieceSize {
		e.flush()
	}
}

func (e *encoder) words(words []string) {
	e.raw(`[`)
	for i, word := range words {
		e.comma(i)
		e.text(word)
	}
	e.raw(`]`)
}

// text writes a string. Invalid UTF-8 becomes U+FFFD, so that the response is
// valid JSON whatever a device is called.
func (e *encoder) text(s string) {
	const hex = "0123456789abcdef"
	b := append(e.buf, '"')
	for i := 0; i < len(s); {
		if len(b) > 2*pieceSize { // A long label is written in pieces too.
			e.buf = b
			e.flush()
			b = e.buf
		}
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	e.buf = append(b, '"')
}

func (e *encoder) labels(l labels.Labels) {
	e.raw(`{`)
	first := true
	l.Range(func(l labels.Label) {
		if !first {
			e.raw(`,`)
		}
		first = false
		e.text(l.Name)
		e.raw(`:`)
		e.text(l.Value)
	})
	e.raw(`}`)
}

// value writes the result of a query, and its statistics if there are any.
func (e *encoder) value(value parser.Value, stats []byte) {
	e.raw(`{"resultType":"`)
	e.raw(string(value.Type()))
	e.raw(`","result":`)
	switch v := value.(type) {
	case promql.Matrix:
		e.raw(`[`)
		for i := range v {
			e.comma(i)
			e.series(&v[i])
		}
		e.raw(`]`)
	case promql.Vector:
		e.raw(`[`)
		for i := range v {
			e.comma(i)
			e.sample(&v[i])
		}
		e.raw(`]`)
	case promql.Scalar:
		e.point(v.T, v.V)
	case promql.String:
		e.raw(`[`)
		e.time(v.T)
		e.raw(`,`)
		e.text(v.V)
		e.raw(`]`)
	}
	if stats != nil {
		e.raw(`,"stats":`)
		e.raw(string(stats))
	}
	e.raw(`}`)
}

func (e *encoder) series(s *promql.Series) {
	e.raw(`{"metric":`)
	e.labels(s.Metric)
	if len(s.Floats) > 0 {
		e.raw(`,"values":[`)
		for i, p := range s.Floats {
			e.comma(i)
			e.point(p.T, p.F)
		}
		e.raw(`]`)
	}
	if len(s.Histograms) > 0 {
		e.raw(`,"histograms":[`)
		for i, p := range s.Histograms {
			e.comma(i)
			e.raw(`[`)
			e.time(p.T)
			e.raw(`,`)
			e.histogram(p.H)
			e.raw(`]`)
		}
		e.raw(`]`)
	}
	e.raw(`}`)
}

func (e *encoder) sample(s *promql.Sample) {
	e.raw(`{"metric":`)
	e.labels(s.Metric)
	if s.H == nil {
		e.raw(`,"value":`)
		e.point(s.T, s.F)
	} else {
		e.raw(`,"histogram":[`)
		e.time(s.T)
		e.raw(`,`)
		e.histogram(s.H)
		e.raw(`]`)
	}
	e.raw(`}`)
}

func (e *encoder) point(t int64, v float64) {
	e.raw(`[`)
	e.time(t)
	e.raw(`,`)
	e.float(v)
	e.raw(`]`)
}

// time writes milliseconds as seconds, without converting to a float.
func (e *encoder) time(t int64) {
	b := e.buf
	if t < 0 {
		b, t = append(b, '-'), -t
	}
	b = strconv.AppendInt(b, t/1000, 10)
	if f := t % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	e.buf = b
}

// float writes a number as a string, because JSON has neither NaN nor Inf.
func (e *encoder) float(v float64) {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	b := append(e.buf, '"')
	b = strconv.AppendFloat(b, v, format, -1, 64)
	e.buf = append(b, '"')
}

// histogram writes a native histogram. The tiers have none, but other sources may.
// The first number of a bucket says which of its bounds are inclusive.
func (e *encoder) histogram(h *histogram.FloatHistogram) {
	e.raw(`{"count":`)
	e.float(h.Count)
	e.raw(`,"sum":`)
	e.float(h.Sum)
	n := 0
	for it := h.AllBucketIterator(); it.Next(); {
		bucket := it.At()
		if bucket.Count == 0 {
			continue
		}
		if n == 0 {
			e.raw(`,"buckets":[`)
		}
		e.comma(n)
		n++
		bounds := "2"
		switch {
		case bucket.LowerInclusive && bucket.UpperInclusive:
			bounds = "3"
		case bucket.LowerInclusive:
			bounds = "1"
		case bucket.UpperInclusive:
			bounds = "0"
		}
		e.raw(`[`)
		e.raw(bounds)
		for _, v := range []float64{bucket.Lower, bucket.Upper, bucket.Count} {
			e.raw(`,`)
			e.float(v)
		}
		e.raw(`]`)
	}
	if n > 0 {
		e.raw(`]`)
	}
	e.raw(`}`)
}
