package template

import (
	"reflect"
	"time"
)

const (
	// numberSize and nodeSize are what a number and the frame of a map, list or struct
	// take when printed. maxDepth bounds nesting, which printing follows by recursion.
	numberSize, nodeSize = 24, 64
	maxDepth             = 50
)

var timeType = reflect.TypeFor[time.Time]()

// size estimates how much printing values makes, from above. It stops with a value
// above limit when that is exceeded: a map that holds another twice is small, and its
// print twice as long with each level.
func size(limit int, values ...any) int {
	m := measure{left: limit}
	for _, v := range values {
		m.add(reflect.ValueOf(v), 0)
	}
	if m.left < 0 {
		return limit + 1
	}
	return limit - m.left
}

// measure is a walk over a value.
type measure struct{ left int }

func (m *measure) add(v reflect.Value, depth int) {
	if m.left < 0 || !v.IsValid() {
		return
	}
	if depth > maxDepth {
		m.left = -1
		return
	}
	switch v.Kind() {
	case reflect.String:
		m.left -= v.Len()
	case reflect.Pointer, reflect.Interface:
		m.left--
		m.add(v.Elem(), depth+1)
	case reflect.Map:
		m.left -= nodeSize
		for each := v.MapRange(); m.left >= 0 && each.Next(); {
			m.add(each.Key(), depth+1)
			m.add(each.Value(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		m.left -= nodeSize
		for i := 0; i < v.Len() && m.left >= 0; i++ {
			m.add(v.Index(i), depth+1)
		}
	case reflect.Struct:
		m.left -= nodeSize
		if v.Type() == timeType {
			return
		}
		for i := 0; i < v.NumField() && m.left >= 0; i++ {
			m.add(v.Field(i), depth+1)
		}
	default:
		m.left -= numberSize
	}
}
