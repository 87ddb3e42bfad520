package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// stalls reads /proc/pressure, see Documentation/accounting/psi.rst of Linux.
func (p *pressure) stalls(_ context.Context, h *Host, odd *misread) ([]resourceStalls, error) {
	if p.files == nil {
		for _, resource := range []string{"cpu", "memory", "io", "irq"} {
			p.files = append(p.files, pressureFile{resource, h.open("proc/pressure/" + resource)})
		}
	}
	var found []resourceStalls
	missing := 0
	if h.pidsOnly {
		return nil, fs.ErrNotExist
	}
	for _, f := range p.files {
		text, err := f.file.read()
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EOPNOTSUPP):
			// A kernel without the feature lacks the files; one in which it is
			// switched off refuses to read them. Only some kernels have irq.
			missing++
		case err != nil:
			odd.lost("/proc/pressure/"+f.resource, err)
		default:
			s := parsePressure(text, f.resource, odd)
			s.resource = f.resource
			found = append(found, s)
		}
	}
	if missing == len(p.files) {
		return nil, ErrUnsupported
	}
	if !slices.ContainsFunc(found, func(s resourceStalls) bool { return s.some.known || s.full.known }) {
		return nil, fmt.Errorf("parse /proc/pressure: no line can be read: %v", odd.Missing())
	}
	return found, nil
}

// parsePressure reads lines such as
// "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345". What cannot be read is
// unknown by itself.
func parsePressure(text []byte, resource string, odd *misread) resourceStalls {
	var s resourceStalls
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		kind, rest := cutWord(line)
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
		for {
			var word []byte
			if word, rest = cutWord(rest); len(word) == 0 {
				break
			}
			key, value, _ := bytes.Cut(word, []byte{'='})
			ok := true
			switch string(key) {
			case "avg10":
				l.avg10, ok = parsePercent(value)
			case "avg60":
				l.avg60, ok = parsePercent(value)
			case "avg300":
				l.avg300, ok = parsePercent(value)
			case "total":
				l.total, ok = parseUint(value)
				ok = ok && l.total <= math.MaxInt64
				l.known = ok
			}
			if !ok {
				odd.note("/proc/pressure/"+resource+": "+string(kind)+" "+string(key), notNumber(value))
			}
		}
		if !l.known {
			odd.note("/proc/pressure/"+resource+": "+string(kind)+" total", "there is no number")
		}
		*to = l
	}
	if !s.some.known && !s.full.known {
		odd.note("/proc/pressure/"+resource, "there is no line some or full with a total")
	}
	return s
}

// parsePercent reads a percentage. The kernel's means can be a little above 100.
func parsePercent(b []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil || !(v >= 0 && v < 101) {
		return unknown, false
	}
	return min(v, 100), true
}
