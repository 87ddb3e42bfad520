package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// stalls reads /proc/pressure, see Documentation/accounting/psi.rst of Linux.
func (p *pressure) stalls(_ context.Context, h *Host) ([]resourceStalls, error) {
	if p.files == nil {
		for _, resource := range []string{"cpu", "memory", "io", "irq"} {
			p.files = append(p.files, pressureFile{resource, h.open("proc/pressure/" + resource)})
		}
	}
	var found []resourceStalls
	for _, f := range p.files {
		text, err := f.file.read()
		// A kernel without the feature lacks the files; one in which it is
		// switched off refuses to read them. Only some kernels have irq.
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := parsePressure(text)
		if err != nil {
			return nil, fmt.Errorf("parse /proc/pressure/%s: %w", f.resource, err)
		}
		s.resource = f.resource
		found = append(found, s)
	}
	if len(found) == 0 {
		return nil, ErrUnsupported
	}
	return found, nil
}

// parsePressure reads lines such as
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345".
func parsePressure(text []byte) (resourceStalls, error) {
	var s resourceStalls
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		kind, rest, _ := bytes.Cut(line, []byte{' '})
		var to *pressureLine
		switch string(kind) {
		case "some":
			to = &s.some
		case "full":
			to = &s.full
		default:
			continue
		}
		l := pressureLine{avg10: unknown, avg60: unknown, avg300: unknown}
		for len(rest) > 0 {
			var word []byte
			word, rest, _ = bytes.Cut(rest, []byte{' '})
			key, value, _ := bytes.Cut(word, []byte{'='})
			var err error
			switch string(key) {
			case "avg10":
				l.avg10, err = parsePercent(value)
			case "avg60":
				l.avg60, err = parsePercent(value)
			case "avg300":
				l.avg300, err = parsePercent(value)
			case "total":
				if l.total, l.known = parseUint(value); !l.known {
					err = fmt.Errorf("%q is not a number", value)
				}
			}
			if err != nil {
				return resourceStalls{}, fmt.Errorf("line %q: %w", line, err)
			}
		}
		*to = l
	}
	if !s.some.known && !s.full.known {
		return resourceStalls{}, errors.New("no line some or full with a total")
	}
	return s, nil
}

func parsePercent(b []byte) (float64, error) {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 100 {
		return unknown, fmt.Errorf("%q is not a percentage", b)
	}
	return v, nil
}
