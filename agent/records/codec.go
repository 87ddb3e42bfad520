package records

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// recordVersion is the first byte of every record. Every version must stay
// readable: a new layout gets a new number and its own decoder.
const recordVersion = 2

// maxRecord bounds the memory for decoding a damaged record.
const maxRecord = 4 << 20

var errRecord = errors.New("record damaged")

// codec encodes and decodes records: columns of integers and a table of strings,
// compressed. It is not safe for concurrent use.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	strings map[string]uint64
	table   []string
	plain   []byte
	unpack  []byte
}

func newCodec() (*codec, error) {
	// The fastest level takes 0.3 MB of memory, the next takes several, for less
	// than a tenth of the size.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(64<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("make an encoder: %w", err)
	}
	c, err := newDecoder()
	if err != nil {
		return nil, err
	}
	c.encoder, c.strings = encoder, map[string]uint64{}
	return c, nil
}

// newDecoder returns a codec that only decodes.
func newDecoder() (*codec, error) {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxRecord))
	if err != nil {
		return nil, fmt.Errorf("make a decoder: %w", err)
	}
	return &codec{decoder: decoder}, nil
}

func (c *codec) close() {
	_ = c.encoder.Close()
	c.decoder.Close()
}

// index returns the index of a string in the table.
func (c *codec) index(text string) uint64 {
	i, ok := c.strings[text]
	if !ok {
		i = uint64(len(c.table))
		c.strings[text] = i
		c.table = append(c.table, text)
	}
	return i
}

const (
	flagKernel = 1 << iota
	flagCPUKnown
	flagIOKnown
	// flagPartial is among the flags of the others.
	flagPartial
)

// unknownStart is the age of a process whose start is unknown. An age moves with its
// record when the clock was set.
const unknownStart = math.MinInt64

func flags(kernel bool, s *sums) uint64 {
	var f uint64
	if kernel {
		f |= flagKernel
	}
	if s.cpuKnown {
		f |= flagCPUKnown
	}
	if s.ioKnown {
		f |= flagIOKnown
	}
	return f
}

// encode returns the body of a record. Resolution, end, since and last are columns
// of the database.
func (c *codec) encode(r *record) []byte {
	clear(c.strings)
	c.table = c.table[:0]
	slices.SortFunc(r.rows, func(a, b row) int {
		if a.pid != b.pid {
			return a.pid - b.pid
		}
		if a.start != b.start {
			if a.start < b.start {
				return -1
			}
			return 1
		}
		return strings.Compare(a.boot, b.boot)
	})

	b := c.plain[:0]
	u := func(v uint64) { b = binary.AppendUvarint(b, v) }
	s := func(v int64) { b = binary.AppendVarint(b, v) }
	s(r.covered)
	s(r.cpuCovered)
	u(uint64(r.cpus))
	u(r.memoryTotal)
	s(r.host)
	s(r.vanished)
	o := &r.others
	f := flags(false, o)
	if r.partial {
		f |= flagPartial
	}
	u(f)
	for _, v := range [...]uint64{uint64(o.cpu), uint64(o.seen), o.memory, o.peak, o.read, o.write} {
		u(v)
	}

	u(uint64(len(r.rows)))
	pid := int64(0)
	for i := range r.rows {
		s(int64(r.rows[i].pid) - pid)
		pid = int64(r.rows[i].pid)
	}
	start := uint64(0)
	for i := range r.rows {
		s(int64(r.rows[i].start - start))
		start = r.rows[i].start
	}
	// Each string of a row is a column.
	for _, text := range rowTexts {
		for i := range r.rows {
			u(c.index(*text(&r.rows[i])))
		}
	}
	for i := range r.rows {
		u(flags(r.rows[i].kernel, &r.rows[i].sums))
	}
	for i := range r.rows {
		u(uint64(max(r.rows[i].threads, 0)))
	}
	for i := range r.rows {
		age := r.since - r.rows[i].started
		if r.rows[i].started == 0 {
			age = unknownStart
		}
		s(age)
	}
	for i := range r.rows {
		u(uint64(r.rows[i].cpu))
	}
	for i := range r.rows {
		s(r.covered - r.rows[i].seen)
	}
	for i := range r.rows {
		u(r.rows[i].peak)
	}
	for i := range r.rows {
		// Constant memory encodes as zero.
		u(r.rows[i].peak*uint64(r.rows[i].seen) - r.rows[i].memory)
	}
	for i := range r.rows {
		u(r.rows[i].read)
	}
	for i := range r.rows {
		u(r.rows[i].write)
	}
	for i := range r.rows {
		u(r.rows[i].count)
	}
	for i := range r.rows {
		u(c.index(r.rows[i].parent))
	}
	u(uint64(len(c.table)))
	for _, text := range c.table {
		u(uint64(len(text)))
	}
	for _, text := range c.table {
		b = append(b, text...)
	}
	c.plain = b
	return c.encoder.EncodeAll(b, []byte{recordVersion})
}

// rowTexts are the strings of a row in the order of their columns.
var rowTexts = [...]func(*row) *string{
	func(r *row) *string { return &r.boot },
	func(r *row) *string { return &r.name },
	func(r *row) *string { return &r.program },
	func(r *row) *string { return &r.user },
	func(r *row) *string { return &r.status },
	func(r *row) *string { return &r.commandLine },
}

// decode fills a record, whose since must be set, from its body. The rows of the
// record are reused.
func (c *codec) decode(body []byte, r *record) error {
	if len(body) == 0 {
		return fmt.Errorf("%w: empty", errRecord)
	}
	version := body[0]
	if version < 1 || version > recordVersion {
		return fmt.Errorf("%w: unknown version %d", errRecord, version)
	}
	unpacked, err := c.decoder.DecodeAll(body[1:], c.unpack[:0])
	if err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	c.unpack = unpacked
	in := &cursor{rest: unpacked}
	r.frame = frame{covered: in.signed(), cpuCovered: in.signed(), cpus: int(in.unsigned()), memoryTotal: in.unsigned(), host: in.signed(), vanished: in.signed()}
	f := in.unsigned()
	r.partial = f&flagPartial != 0
	r.others = sums{cpuKnown: f&flagCPUKnown != 0, ioKnown: f&flagIOKnown != 0, cpu: int64(in.unsigned()), seen: int64(in.unsigned()), memory: in.unsigned(), peak: in.unsigned(), read: in.unsigned(), write: in.unsigned()}

	n := in.unsigned()
	if n > uint64(len(in.rest)) { // Every row takes more bytes than one.
		return fmt.Errorf("%w: invalid number of rows %d", errRecord, n)
	}
	r.rows = slices.Grow(r.rows[:0], int(n))[:n]
	clear(r.rows)
	pid := int64(0)
	for i := range r.rows {
		pid += in.signed()
		r.rows[i].pid = int(pid)
	}
	start := uint64(0)
	for i := range r.rows {
		start += uint64(in.signed())
		r.rows[i].start = start
	}
	texts := in.rest // The table of strings comes last; the indexes are read again then.
	for range len(rowTexts) * len(r.rows) {
		in.unsigned()
	}
	for i := range r.rows {
		f := in.unsigned()
		r.rows[i].kernel, r.rows[i].cpuKnown, r.rows[i].ioKnown = f&flagKernel != 0, f&flagCPUKnown != 0, f&flagIOKnown != 0
	}
	for i := range r.rows {
		r.rows[i].threads = int(in.unsigned())
	}
	for i := range r.rows {
		if age := in.signed(); age != unknownStart {
			r.rows[i].started = r.since - age
		}
	}
	for i := range r.rows {
		r.rows[i].cpu = int64(in.unsigned())
	}
	for i := range r.rows {
		r.rows[i].seen = r.covered - in.signed()
	}
	for i := range r.rows {
		r.rows[i].peak = in.unsigned()
	}
	for i := range r.rows {
		r.rows[i].memory = r.rows[i].peak*uint64(r.rows[i].seen) - in.unsigned()
	}
	for i := range r.rows {
		r.rows[i].read = in.unsigned()
	}
	for i := range r.rows {
		r.rows[i].write = in.unsigned()
	}
	parents := &cursor{}
	if version > 1 { // Before, there were no short processes.
		for i := range r.rows {
			r.rows[i].count = in.unsigned()
		}
		*parents = cursor{rest: in.rest}
		for range r.rows {
			in.unsigned()
		}
	}
	c.readTable(in)
	places := &cursor{rest: texts}
	for _, text := range rowTexts {
		for i := range r.rows {
			p := places.unsigned()
			if p >= uint64(len(c.table)) {
				return fmt.Errorf("%w: a string is missing", errRecord)
			}
			*text(&r.rows[i]) = c.table[p]
		}
	}
	if version > 1 {
		for i := range r.rows {
			p := parents.unsigned()
			if p >= uint64(len(c.table)) {
				return fmt.Errorf("%w: a string is missing", errRecord)
			}
			r.rows[i].parent = c.table[p]
		}
	}
	if in.failed || len(in.rest) > 0 {
		return fmt.Errorf("%w: wrong length", errRecord)
	}
	return nil
}

// readTable reads the table of strings, which share one allocation.
func (c *codec) readTable(in *cursor) {
	c.table = c.table[:0]
	n := in.unsigned()
	if n > uint64(len(in.rest)) {
		in.failed = true
		return
	}
	lengths := *in
	for range n {
		in.unsigned()
	}
	all := string(in.rest)
	in.rest = nil
	for range n {
		length := lengths.unsigned()
		if length > uint64(len(all)) {
			in.failed = true
			return
		}
		c.table = append(c.table, all[:length])
		all = all[length:]
	}
	in.failed = in.failed || all != ""
}

// cursor reads integers.
type cursor struct {
	rest   []byte
	failed bool
}

func (c *cursor) unsigned() uint64 {
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.failed, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) signed() int64 {
	v, n := binary.Varint(c.rest)
	if n <= 0 {
		c.failed, c.rest = true, nil
		return 0
	}
	c.rest = c.rest[n:]
	return v
}
