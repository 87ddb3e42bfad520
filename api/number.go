package api

import (
	"math"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// number is a measured number in a response. An unknown one is NaN here and null
// in JSON, never 0. Because an unset field would be 0, responses start from blank.
type number float64

// count is a whole number in a response, usually bytes; like number it is NaN if
// unknown. It is exact up to 2^53, 9 PB.
type count float64

// countOf is a count of a reading; what no machine counts to stands for none.
func countOf(n uint64) count {
	if n > math.MaxInt64 {
		return count(unknown)
	}
	return count(n)
}

// unknown is an unknown number.
var unknown = math.NaN()

// percentOf converts a ratio (0 to 1) to percent.
func percentOf(share float64) number { return number(share * 100) }

// MarshalJSON writes at most three decimals, and null if the number is unknown: a
// thousandth of a percent, or of a byte per second, is below the resolution of the
// kernel's counters.
func (n number) MarshalJSON() ([]byte, error) {
	const scale = 1000
	v := float64(n)
	if math.Abs(v) < 1<<53/scale {
		v = math.Round(v*scale) / scale
	}
	return appendNumber(v), nil
}

// MarshalJSON writes the number without decimals, and null if it is unknown: so is
// what package instruments counts beyond 2^63-1.
func (c count) MarshalJSON() ([]byte, error) {
	if c >= 1<<63 {
		c = count(unknown)
	}
	return appendNumber(math.Round(float64(c))), nil
}

func appendNumber(v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null")
	}
	if v == 0 {
		v = 0 // Not -0.
	}
	return strconv.AppendFloat(make([]byte, 0, 24), v, 'f', -1, 64)
}

// UnmarshalJSON reads what MarshalJSON wrote, for clients.
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
	return &huma.Schema{Type: huma.TypeNumber, Format: "double", Nullable: true}
}

// Schema implements huma.SchemaProvider.
func (count) Schema(huma.Registry) *huma.Schema {
	minimum := 0.0
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Nullable: true, Minimum: &minimum}
}

// blank returns a T in which every number outside of lists is unknown.
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
