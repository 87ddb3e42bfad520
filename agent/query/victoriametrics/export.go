package victoriametrics

import (
	"errors"
	"fmt"
	"io"
	"math"

	jsoniter "github.com/json-iterator/go"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

const (
	// rowsPerLine is the number of samples of a series per line, so that a line has
	// some hundred kilobytes.
	rowsPerLine = 8192
	// readBuffer is the size of the read buffer.
	readBuffer = 64 << 10
)

// export reads the lines of /api/v1/export, each of which holds samples of one
// series: {"metric":{…},"values":[…],"timestamps":[…]}.
type export struct {
	mint, maxt int64
	rest       []*labels.Matcher
	// room is how many bytes may still be kept.
	room *int

	found  map[string]*series
	order  []*series
	metric []labels.Label
	values []float64
	times  []int64
	key    []byte
}

// read reads all lines.
func (e *export) read(r io.Reader) error {
	e.found = map[string]*series{}
	it := jsoniter.Parse(jsoniter.ConfigFastest, r, readBuffer)
	for it.WhatIsNext() != jsoniter.InvalidValue {
		if err := e.line(it); err != nil {
			return err
		}
	}
	switch {
	case it.Error == nil:
		return errInvalidResponse
	case !errors.Is(it.Error, io.EOF):
		return it.Error
	}
	return nil
}

// line reads one line.
func (e *export) line(it *jsoniter.Iterator) error {
	e.metric, e.values, e.times = e.metric[:0], e.values[:0], e.times[:0]
	it.ReadObjectCB(func(it *jsoniter.Iterator, field string) bool {
		switch field {
		case "metric":
			return it.ReadObjectCB(func(it *jsoniter.Iterator, name string) bool {
				e.metric = append(e.metric, labels.Label{Name: name, Value: it.ReadString()})
				return it.Error == nil
			})
		case "values":
			for it.ReadArray() {
				e.values = append(e.values, readValue(it))
			}
		case "timestamps":
			for it.ReadArray() {
				e.times = append(e.times, it.ReadInt64())
			}
		default:
			it.Skip()
		}
		return it.Error == nil || errors.Is(it.Error, io.EOF)
	})
	if it.Error != nil && !errors.Is(it.Error, io.EOF) {
		return invalidResponse(it.Error)
	}
	if len(e.metric) == 0 || len(e.values) != len(e.times) {
		return errInvalidResponse
	}
	return e.keep()
}

// invalidResponse wraps an error of a truncated or invalid response.
func invalidResponse(err error) error { return fmt.Errorf("%w: %w", errInvalidResponse, err) }

// readValue reads a number; null is the end of a series, the only NaN that can be
// stored.
func readValue(it *jsoniter.Iterator) float64 {
	switch it.WhatIsNext() {
	case jsoniter.NilValue:
		it.ReadNil()
		return math.Float64frombits(value.StaleNaN)
	case jsoniter.StringValue:
		switch word := it.ReadString(); word {
		case "Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		default:
			it.ReportError("read a value", "neither a number nor Infinity")
		}
	default:
	}
	return it.ReadFloat64()
}

// keep adds the samples of a line to their series.
func (e *export) keep() error {
	l := labels.New(e.metric...)
	if !matches(l, e.rest) {
		return nil
	}
	e.key = l.Bytes(e.key)
	s := e.found[string(e.key)]
	if s == nil {
		s = &series{labels: l, newest: unknownTime}
		e.found[string(e.key)] = s
		e.order = append(e.order, s)
	}
	for i, t := range e.times {
		if t < e.mint || t > e.maxt {
			continue
		}
		if !s.append(t, e.values[i]) {
			return fmt.Errorf("%w: samples out of order", errInvalidResponse)
		}
	}
	if *e.room -= s.grown(); *e.room < 0 {
		return errTooMuch
	}
	return nil
}
