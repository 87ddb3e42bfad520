package api

import (
	"math"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// number is a measured number in an answer. One that could not be measured is
// NaN here and null in JSON, which has no NaN; it is never 0. Because a field
// that nobody filled in is 0, answers start from a blank, see blank.
type number float64

// count is a whole number in an answer, bytes for the most part; like number it
// is NaN where it is unknown. It is exact up to 2^53, 9 PB.
type count float64

// unknown stands for what could not be measured.
var unknown = math.NaN()

// percentOf turns a share (0 to 1) into percent.
func percentOf(share float64) number { return number(share * 100) }

// MarshalJSON writes at most three digits behind the point, and null where the
// number is unknown: a thousandth of a percent, or of a byte per second, is
// below what the kernel's counters resolve.
func (n number) MarshalJSON() ([]byte, error) {
	const scale = 1000
	v := float64(n)
	if math.Abs(v) < 1<<53/scale {
		v = math.Round(v*scale) / scale
	}
	return appendNumber(v), nil
}

// MarshalJSON writes the number without a point, and null where it is unknown.
func (c count) MarshalJSON() ([]byte, error) { return appendNumber(math.Round(float64(c))), nil }

func appendNumber(v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null")
	}
	if v == 0 {
		v = 0 // What was rounded up from below is -0.
	}
	return strconv.AppendFloat(make([]byte, 0, 24), v, 'f', -1, 64)
}

// UnmarshalJSON reads what MarshalJSON wrote: clients decode answers with it.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := parseNumber(b)
	*n = number(v)
	return err
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *count) UnmarshalJSON(b []byte) error {
	v, err := parseNumber(b)
	*c = count(v)
	return err
}

func parseNumber(b []byte) (float64, error) {
	if string(b) == "null" {
		return unknown, nil
	}
	return strconv.ParseFloat(string(b), 64)
}

// Schema implements huma.SchemaProvider.
func (number) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Nullable: true}
}

// Schema implements huma.SchemaProvider.
func (count) Schema(huma.Registry) *huma.Schema {
	least := 0.0
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Nullable: true, Minimum: &least}
}

// blank is a T in which every number is unknown, as long as it is not in a list.
func blank[T any]() T {
	var v T
	makeUnknown(reflect.ValueOf(&v).Elem())
	return v
}

func makeUnknown(v reflect.Value) {
	switch v.Kind() {
	case reflect.Float64:
		v.SetFloat(unknown)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				makeUnknown(v.Field(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			makeUnknown(v.Index(i))
		}
	}
}
