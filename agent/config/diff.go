package config

import "reflect"

// Diff lists the paths of the options that differ between two configurations,
// in the order of the example file.
func Diff(a, b Config) []string {
	before := map[string]reflect.Value{}
	for _, o := range a.options() {
		before[o.path] = o.value
	}
	var changed []string
	for _, o := range b.options() {
		if !o.section && !equal(before[o.path], o.value) {
			changed = append(changed, o.path)
		}
	}
	return changed
}

// equal compares two values; an empty list or map is the same as none.
func equal(a, b reflect.Value) bool {
	if kind := a.Kind(); (kind == reflect.Slice || kind == reflect.Map) && a.Len() == 0 && b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
