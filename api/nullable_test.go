package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// A field is nullable in the document exactly if its JSON can be null.
func TestNullableIsTrue(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	seen := map[reflect.Type]bool{}
	var walk func(t *testing.T, of reflect.Type)
	walk = func(t *testing.T, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map || of.Kind() == reflect.Array {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || seen[of] || isMarshaler(of) {
			return
		}
		seen[of] = true
		schema := s.routes.registry.Schema(of, false, "")
		if schema.Ref != "" {
			schema = s.routes.registry.SchemaFromRef(schema.Ref)
		}
		for _, c := range columnsOf(of) {
			field := of.FieldByIndex(c.index)
			property := schema.Properties[c.name]
			if property == nil {
				t.Errorf("%s.%s is not in the document", of, c.name)
				continue
			}
			nullable := property.Nullable || field.Type.Kind() == reflect.Interface // An empty schema allows null.
			if can := canBeNull(field.Type, c.emptied, field.Tag); can != nullable {
				t.Errorf("%s.%s: its JSON can be null: %v, nullable: %v", of, c.name, can, nullable)
			}
			if property.Items != nil {
				element := field.Type.Elem()
				if can := element.Kind() != reflect.Pointer && canBeNull(element, false, ""); can != property.Items.Nullable {
					t.Errorf("%s.%s[]: its JSON can be null: %v, nullable: %v", of, c.name, can, property.Items.Nullable)
				}
			}
			walk(t, field.Type)
		}
	}
	for _, op := range operationsOf(s) {
		if content := op.Responses["200"].Content[jsonMedia]; content != nil {
			walk(t, reflect.TypeOf(content.Example))
		}
	}
	walk(t, reflect.TypeFor[huma.ErrorModel]())
	if len(seen) < 50 {
		t.Errorf("only %d types were seen", len(seen))
	}
}

// canBeNull reports whether a value of a type can be null in JSON. Lists and maps may be
// declared as never nil; that they are is seen in the responses of a
// running agent (TestSoakDocument).
func canBeNull(of reflect.Type, omitted bool, tag reflect.StructTag) bool {
	switch {
	case of == reflect.TypeFor[number](), of == reflect.TypeFor[count]():
		return true
	case of.Kind() == reflect.Pointer:
		return !omitted || canBeNull(of.Elem(), false, "")
	case of.Kind() == reflect.Slice, of.Kind() == reflect.Map:
		return !omitted && tag.Get("nullable") == "true"
	}
	return of.Kind() == reflect.Interface
}

func isMarshaler(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || strings.HasPrefix(t.PkgPath(), "time")
}
