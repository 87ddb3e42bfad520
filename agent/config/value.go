package config

import (
	"encoding"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysotel/agent/nearest"

	"github.com/prometheus/common/model"
)

// parse sets an option from the text of a flag, a variable or a scalar of the file.
// If the text is invalid it returns the rule that it breaks and keeps the old value.
func (o option) parse(text string) (rule string) {
	switch v := o.value; {
	case isText(v.Type()):
		read := reflect.New(v.Type())
		u, _ := reflect.TypeAssert[encoding.TextUnmarshaler](read)
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return "must be a size with a unit, such as 512MiB or 1GiB"
		}
		v.Set(read.Elem())
	case isDuration(v.Type()):
		return parseDuration(v, text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return "must be true or false"
		}
		v.SetBool(text == "true")
	case v.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return "must be a whole number"
		}
		v.SetInt(int64(n))
	case isFloat(v.Type()):
		return parseFloat(v, text)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf(splitList(text)))
	case v.Kind() == reflect.Map:
		return parsePairs(v, text)
	default:
		if words := strings.Split(o.enum, "|"); o.enum != "" && !slices.Contains(words, text) {
			return "must be one of " + strings.Join(words, ", ") + nearest.DidYouMean(text, words)
		}
		v.SetString(text)
	}
	return ""
}

// isText reports whether a type unmarshals text, as sizes do.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// parseDuration takes Go's durations and those of the API and of rules, which have days
// and weeks. It refuses a number without a unit, 0 included: 60 could be seconds or
// nanoseconds.
func parseDuration(v reflect.Value, text string) (rule string) {
	d, err := time.ParseDuration(text)
	if err != nil {
		var whole model.Duration
		whole, err = model.ParseDuration(text)
		d = time.Duration(whole)
	}
	if err != nil || strings.Trim(text, "+-0") == "" {
		return "must be a duration with a unit, such as 500ms, 1s or 7d"
	}
	v.SetInt(int64(d))
	return ""
}

// isFloat reports whether a type is float64 or a pointer to it, for an optional one.
func isFloat(t reflect.Type) bool {
	return t.Kind() == reflect.Float64 || t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Float64
}

// parseFloat parses a number; NaN and infinities are refused.
func parseFloat(v reflect.Value, text string) (rule string) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return "must be a number"
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.ValueOf(&n))
		return ""
	}
	v.SetFloat(n)
	return ""
}

// splitList parses "a, b"; an empty text is the empty list.
func splitList(text string) []string {
	list := []string{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// parsePairs parses "name=value, name=value" into a map. Both sides are percent
// decoded, like the OTEL_ variables, so that a value can contain a comma.
func parsePairs(v reflect.Value, text string) (rule string) {
	m := reflect.MakeMap(v.Type())
	for _, item := range splitList(text) {
		name, value, ok := strings.Cut(item, "=")
		name, nameErr := url.PathUnescape(strings.TrimSpace(name))
		value, valueErr := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || nameErr != nil || valueErr != nil {
			return "must be name=value pairs separated by commas, with %2C for a comma in a value and %25 for a %"
		}
		m.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(value).Convert(v.Type().Elem()))
	}
	v.Set(m)
	return ""
}
