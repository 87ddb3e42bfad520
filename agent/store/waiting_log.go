package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/record"
)

// waitingLog keeps readings on disk while they wait. Each batch has a file, which is
// removed when its readings are in the tiers. A file is a list of frames: the length of
// what follows the sum, its CRC-32C, both little-endian, then a record compressed with
// S2. The first record is a waitingHeader in JSON, each other a reading with the series
// that are new in it.
//
// It is not the log of the TSDB library: that one keeps pages, syncs when it is closed,
// and if it cannot be closed, as on a full disk, its goroutine and its file stay.
type waitingLog struct {
	dir string
	// next is the number of the next file.
	next  int
	batch *batch   // of file
	file  *os.File // open for writing
	body  encoding.Encbuf
	frame []byte
	// err is why the newest reading is not in the log.
	err error
}

// waitingFile is the file of a batch.
type waitingFile struct {
	// path is empty if there is none.
	path string
	size int64
	// defined is the number of columns whose series are in the file.
	defined int
	// torn is set if a failed write could not be undone.
	torn bool
}

// waitingHeader is the first record of a file.
type waitingHeader struct {
	Format int    `json:"format"`
	Life   string `json:"life"`
	// Step is the newest step of the clock that the times follow.
	Step uint64 `json:"step"`
}

const (
	// waitingDir is below the store's directory.
	waitingDir    = "waiting"
	waitingFormat = 1
	// maxWaitingLog bounds the files together: the oldest go, their readings stay in
	// memory. maxWaitingFrame bounds one reading.
	maxWaitingLog   = 32 << 20
	maxWaitingFrame = 16 << 20
	// logFree is the free space from which the log is written. It is less than minFree,
	// so that readings are safe for some minutes more on a full disk.
	logFree    = 4 << 20
	frameHead  = 8
	logFileExt = ".log"
)

var (
	errLogFull = errors.New("the disk is full")
	errTorn    = errors.New("an earlier write failed half-way")
)

// logWaiting writes the record of the newest reading, which is in batch b. If that
// fails it is in memory only.
func (s *Store) logWaiting(b *batch) {
	l, err := &s.waitingLog, error(nil)
	if free, freeErr := s.options.Free(s.options.Dir); freeErr == nil && free < logFree {
		err = errLogFull
	} else {
		err = l.write(b, s.waiting.record.Get())
	}
	if changed := (err == nil) != (l.err == nil); changed && err != nil {
		s.log.Warn("waiting readings cannot be written to the log on disk, they are in memory only", "err", err)
	} else if changed {
		s.log.Info("waiting readings are written to the log on disk again")
	}
	l.err = err
	l.bound(s.waiting.batches)
	if b.file.torn {
		s.waiting.mu.Lock()
		b.seal() // The next reading begins another file.
		s.waiting.mu.Unlock()
	}
}

// write appends a reading to the file of its batch.
func (l *waitingLog) write(b *batch, reading []byte) error {
	if b.file.torn {
		return errTorn
	}
	if l.batch != b {
		if err := l.create(b); err != nil {
			return err
		}
	}
	e := &l.body
	e.Reset()
	e.PutUvarint(b.file.defined)
	e.PutUvarint(len(b.columns) - b.file.defined)
	for _, c := range b.columns[b.file.defined:] {
		if err := encodeSeries(e, c.series); err != nil {
			return err
		}
	}
	e.PutBytes(reading)
	if err := l.append(b, e.Get()); err != nil {
		return err
	}
	b.file.defined = len(b.columns)
	return nil
}

// create begins the file of a batch.
func (l *waitingLog) create(b *batch) error {
	l.close()
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(l.dir, fmt.Sprintf("%08d%s", l.next, logFileExt))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		l.next++ // Another time.
	}
	if err != nil {
		return err
	}
	l.next++
	l.batch, l.file = b, f
	b.file = waitingFile{path: path}
	header, err := json.Marshal(waitingHeader{Format: waitingFormat, Life: b.life.id, Step: b.step})
	if err == nil {
		err = l.append(b, header)
	}
	if err != nil {
		l.remove(b)
	}
	return err
}

// append writes a frame, or nothing.
func (l *waitingLog) append(b *batch, body []byte) error {
	l.frame = slices.Grow(l.frame[:0], frameHead+s2.MaxEncodedLen(len(body)))
	packed := s2.Encode(l.frame[frameHead:cap(l.frame)], body)
	frame := l.frame[:frameHead+len(packed)]
	binary.LittleEndian.PutUint32(frame, uint32(len(packed)))
	binary.LittleEndian.PutUint32(frame[4:], crc32.Checksum(packed, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := l.file.Write(frame); err != nil {
		undone := l.file.Truncate(b.file.size)
		if undone == nil {
			_, undone = l.file.Seek(b.file.size, 0)
		}
		b.file.torn = undone != nil
		return errors.Join(err, undone)
	}
	b.file.size += int64(len(frame))
	return nil
}

// bound removes the oldest files while there is too much.
func (l *waitingLog) bound(batches []*batch) {
	total := int64(0)
	for _, b := range slices.Backward(batches) {
		if total += b.file.size; total > maxWaitingLog && b != l.batch {
			l.remove(b)
		}
	}
}

// remove removes the file of a batch.
func (l *waitingLog) remove(b *batch) {
	if l.batch == b {
		l.close()
	}
	if b.file.path == "" {
		return
	}
	// If it stays, its readings are found in the tiers after the next start.
	_ = os.Remove(b.file.path)
	b.file = waitingFile{}
}

// copyTo copies the files, whose ends may be cut. It may be called at any time.
func (l *waitingLog) copyTo(dir string) error {
	paths, err := filepath.Glob(filepath.Join(l.dir, "*"+logFileExt))
	if err != nil || len(paths) == 0 {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, path := range paths {
		err := copyFile(path, filepath.Join(dir, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// close closes the open file.
func (l *waitingLog) close() {
	if l.file != nil {
		_ = l.file.Close() // It was written, or the error of that is known.
	}
	l.batch, l.file = nil, nil
}

// encodeSeries encodes a series.
func encodeSeries(e *encoding.Encbuf, s *Series) error {
	origin, err := json.Marshal(s.Origin)
	if err != nil {
		return err
	}
	e.PutByte(byte(s.Kind))
	brief := byte(0)
	if s.Brief {
		brief = 1
	}
	e.PutByte(brief)
	start := int64(0)
	if !s.Start.IsZero() {
		start = s.Start.UnixMilli()
	}
	e.PutVarint64(start)
	e.PutUvarintStr(s.MinName)
	e.PutUvarintStr(s.MaxName)
	e.PutUvarintBytes(origin)
	record.EncodeLabels(e, s.Labels)
	return nil
}

// waitingDecoder decodes the records of a file.
type waitingDecoder struct {
	labels record.Decoder
	series map[int]*Series
}

// decodeSeries decodes a series.
func (d *waitingDecoder) decodeSeries(b *encoding.Decbuf) (*Series, error) {
	s := &Series{Kind: Kind(b.Byte()), Brief: b.Byte() != 0}
	if start := b.Varint64(); start != 0 {
		s.Start = time.UnixMilli(start)
	}
	s.MinName, s.MaxName = strings.Clone(b.UvarintStr()), strings.Clone(b.UvarintStr())
	if err := json.Unmarshal(b.UvarintBytes(), &s.Origin); err != nil {
		return nil, errors.Join(b.Err(), err)
	}
	rest := *b
	if n := rest.Uvarint(); n > rest.Len() {
		return nil, encoding.ErrInvalidSize
	}
	s.Labels = d.labels.DecodeLabels(b)
	return s, b.Err()
}

// reading decodes a reading with the series that are new in it.
func (d *waitingDecoder) reading(text []byte) (r Reading, tick int64, err error) {
	b := encoding.Decbuf{B: text}
	ref := b.Uvarint()
	for range b.Uvarint() {
		s, err := d.decodeSeries(&b)
		if err != nil {
			return r, 0, err
		}
		d.series[ref] = s
		ref++
	}
	tick = b.Varint64()
	for range b.Uvarint() {
		c := CollectorReading{Collector: strings.Clone(b.UvarintStr())}
		for n := b.Uvarint(); n > 0 && b.Err() == nil; n-- {
			ref, v := b.Uvarint(), b.Be64Float64()
			if s := d.series[ref]; s != nil {
				c.Samples = append(c.Samples, Sample{s, v})
			}
		}
		for n := b.Uvarint(); n > 0 && b.Err() == nil; n-- {
			if s := d.series[b.Uvarint()]; s != nil {
				c.Ended = append(c.Ended, s)
			}
		}
		if b.Err() != nil {
			return r, 0, b.Err()
		}
		r.Collectors = append(r.Collectors, c)
	}
	r.Time = time.UnixMilli(tick)
	return r, tick, b.Err()
}

// loadWaiting reads what earlier lives left in the log. What is damaged is left out;
// the rest is kept.
func (s *Store) loadWaiting() {
	l := &s.waitingLog
	paths, err := filepath.Glob(filepath.Join(l.dir, "*"+logFileExt))
	if err != nil {
		s.log.Error("cannot list the log of waiting readings", "err", err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), logFileExt)); err == nil {
			l.next = max(l.next, n+1)
		}
		found := s.waiting.len()
		lost, err := s.loadWaitingFile(path)
		switch {
		case err != nil:
			s.log.Error("cannot read a log of waiting readings", "path", path, "err", err)
		case lost > 0:
			s.log.Warn("the end of the log of waiting readings is damaged, as after a crash", "path", path, "readings", s.waiting.len()-found, "lost_bytes", lost)
		default:
			s.log.Info("readings of the previous run wait", "readings", s.waiting.len()-found)
		}
		s.boundWaiting()
	}
}

// loadWaitingFile reads one file. It returns how many bytes could not be read.
func (s *Store) loadWaitingFile(path string) (lost int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	size := int64(len(text))
	var header *waitingHeader
	var b *batch
	d := waitingDecoder{labels: record.NewDecoder(labels.NewSymbolTable(), nil), series: map[int]*Series{}}
	for len(text) > 0 {
		one, whole, rest := nextFrame(text)
		if !whole {
			lost += len(text) - len(rest)
			text = rest
			continue
		}
		text = rest
		if header == nil {
			header = &waitingHeader{}
			if err := json.Unmarshal(one, header); err != nil {
				return 0, fmt.Errorf("its first record is damaged: %w", err)
			}
			if header.Format != waitingFormat {
				return 0, fmt.Errorf("its format is %d, this version reads %d", header.Format, waitingFormat)
			}
			s.waiting.mu.Lock()
			b = s.waiting.begin(s.lifeOf(header), min(header.Step, s.clock.Latest()))
			b.file = waitingFile{path: path, size: size}
			s.waiting.mu.Unlock()
			continue
		}
		r, tick, err := d.reading(one)
		if err != nil {
			lost += len(one)
			continue
		}
		s.waiting.mu.Lock()
		s.waiting.put(b, &r, tick, s)
		s.waiting.mu.Unlock()
	}
	if b == nil {
		return lost, os.Remove(path)
	}
	if b.readings == 0 {
		s.removeWaiting(len(s.waiting.batches) - 1)
		return lost, nil
	}
	s.waiting.mu.Lock()
	b.seal()
	s.waiting.mu.Unlock()
	s.placeWaiting()
	return lost, nil
}

// nextFrame cuts the next frame off a file and decompresses it. If it is damaged, it is
// not whole; if its length is too, nothing is left.
func nextFrame(text []byte) (body []byte, whole bool, rest []byte) {
	if len(text) < frameHead {
		return nil, false, nil
	}
	n := int64(binary.LittleEndian.Uint32(text))
	if n == 0 || n > maxWaitingFrame || int64(len(text)) < frameHead+n {
		return nil, false, nil
	}
	packed, rest := text[frameHead:frameHead+n], text[frameHead+n:]
	if crc32.Checksum(packed, crc32.MakeTable(crc32.Castagnoli)) != binary.LittleEndian.Uint32(text[4:]) {
		return nil, false, rest
	}
	if size, err := s2.DecodedLen(packed); err != nil || size > maxWaitingFrame {
		return nil, false, rest
	}
	body, err := s2.Decode(nil, packed)
	return body, err == nil, rest
}

// lifeOf returns the life that wrote a file.
func (s *Store) lifeOf(h *waitingHeader) *life {
	for _, b := range s.waiting.batches {
		if b.life.id == h.Life {
			return b.life
		}
	}
	return &life{id: h.Life}
}
