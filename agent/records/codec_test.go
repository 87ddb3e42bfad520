package records

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// sample is a record with a value in every field.
func sample() record {
	return record{
		resolution: 5, until: 1_700_006_405_000, since: 1_700_006_400_000, last: 1_700_006_405_000,
		frame: frame{covered: 5000, cpuCovered: 4000, cpus: 8, memoryTotal: 32 << 20, host: 7_654_321, vanished: 10_000, others: sums{cpu: 5, cpuKnown: true, seen: 100_000, memory: 1 << 40, peak: 9, read: 1, write: 1 << 62}},
		rows: []row{
			{identity: identity{"b", 1, 3}, name: "init", program: "init", user: "root", status: "sleeping", threads: 1, started: 1_600_000_000_000, sums: sums{cpu: 1, cpuKnown: true, seen: 5000, memory: 5000 * 100, peak: 100}},
			{identity: identity{"b", 2, 1}, name: "kthreadd", status: "idle", kernel: true, sums: sums{seen: 1}},
			{identity: identity{"a", 4_194_304, 1 << 63}, name: "ä\n", commandLine: "x -y", sums: sums{seen: 5000, ioKnown: true, memory: 1, peak: 1 << 50, read: 1 << 63, write: 7}},
		},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	want := sample()
	got := record{resolution: want.resolution, until: want.until, since: want.since, last: want.last}
	if err := c.decode(c.encode(&want), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestRecordOfNotAll: a record says whether it had all processes of the machine, and an
// unknown start stays unknown where the record moves with the clock.
func TestRecordOfNotAll(t *testing.T) {
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	want := sample()
	want.partial = true
	const by = 3_600_000
	got := record{since: want.since + by}
	if err := c.decode(c.encode(&want), &got); err != nil {
		t.Fatal(err)
	}
	if !got.partial {
		t.Error("the record has all processes")
	}
	for i := range got.rows {
		moved := want.rows[i].started
		if moved != 0 {
			moved += by
		}
		if got.rows[i].started != moved {
			t.Errorf("process %d started %d, want %d", got.rows[i].pid, got.rows[i].started, moved)
		}
	}
}

// TestFirstFormatStaysReadable: records stay on disk for a year.
func TestFirstFormatStaysReadable(t *testing.T) {
	const file = "testdata/record_v1.hex"
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	want := sample()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; it was made by this: %s", err, hex.EncodeToString(c.encode(&want)))
	}
	body, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	got := record{resolution: want.resolution, until: want.until, since: want.since, last: want.last}
	if err := c.decode(body, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range [][]byte{nil, {0}, {2}, {recordVersion}, body[:len(body)-1], append([]byte{9}, body[1:]...), append(bytes.Clone(body), 0)} {
		if err := c.decode(bad, &got); err == nil {
			t.Errorf("%x is taken for a record", bad)
		}
	}
	for i := range body {
		flipped := bytes.Clone(body)
		flipped[i] ^= 4
		if c.decode(flipped, &got) == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("a bit of byte %d is flipped, and that is not detected", i)
		}
	}
}

// FuzzRecord decodes damaged records with a valid checksum: no panic, bounded
// memory.
func FuzzRecord(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	r := sample()
	c.encode(&r)
	f.Add(bytes.Clone(c.plain))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, columns []byte) {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		var got record
		if err := c.decode(w.EncodeAll(columns, []byte{recordVersion}), &got); err == nil && len(got.rows) > len(columns) {
			t.Errorf("%d rows from %d bytes", len(got.rows), len(columns))
		}
	})
}
