package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
)

// verifyBlock reads a whole block and returns the first damage. Chunks are read
// through a small buffer and not through the block's mapping, so that they do not
// stay in memory.
func verifyBlock(dir string) error {
	files, err := os.ReadDir(filepath.Join(dir, "chunks"))
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, "chunks", f.Name())
		if err := verifyChunks(path); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join("chunks", f.Name()), err)
		}
	}
	if err := verifyIndex(filepath.Join(dir, "index")); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// verifyChunks checks the checksums of a segment file. A chunk is its length as a
// varint, a byte for the encoding, the samples, and a checksum.
func verifyChunks(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 64<<10)
	head := make([]byte, chunks.SegmentHeaderSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("read the header: %w", err)
	}
	if magic := binary.BigEndian.Uint32(head); magic != chunks.MagicChunks {
		return fmt.Errorf("magic number %x", magic)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	var buf []byte
	for n := 0; ; n++ {
		length, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil || length > 1<<20 {
			return fmt.Errorf("chunk %d: invalid length", n)
		}
		if size := int(length) + chunks.ChunkEncodingSize + crc32.Size; cap(buf) < size {
			buf = make([]byte, size)
		} else {
			buf = buf[:size]
		}
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("chunk %d: %w", n, err)
		}
		body, sum := buf[:len(buf)-crc32.Size], buf[len(buf)-crc32.Size:]
		if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(sum) {
			return fmt.Errorf("chunk %d: checksum mismatch", n)
		}
	}
}

// verifyIndex reads all series and postings, whose checksums the library verifies.
func verifyIndex(path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("walk the series: %v", p)
		}
	}()
	r, err := index.NewFileReader(path, index.DecodePostingsRaw)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	ctx := context.Background()
	name, value := index.AllPostingsKey()
	all, err := r.Postings(ctx, name, value)
	if err != nil {
		return err
	}
	var b labels.ScratchBuilder
	var metas []chunks.Meta
	for all.Next() {
		if err := r.Series(all.At(), &b, &metas); err != nil {
			return err
		}
	}
	if err := all.Err(); err != nil {
		return err
	}
	names, err := r.LabelNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		values, err := r.LabelValues(ctx, name, nil)
		if err != nil {
			return err
		}
		for _, v := range values {
			if _, err := r.Postings(ctx, name, v); err != nil {
				return err
			}
		}
	}
	return nil
}
