package instruments

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
)

// TestMemoryStatesOfConventions: the semantic conventions lack the states of the
// kernel's slabs, which have a metric of their own there.
func TestMemoryStatesOfConventions(t *testing.T) {
	for _, c := range []struct {
		conventions Conventions
		state, want string
	}{
		{Hostmetrics, "buffered", "state=buffered"},
		{Hostmetrics, "slab_reclaimable", "state=slab_reclaimable"},
		{Semconv, "buffered", "system.memory.state=buffers"},
		{Semconv, "used", "system.memory.state=used"},
		{Semconv, "slab_reclaimable", ""},
		{Both, "buffered", "state=buffered,system.memory.state=buffers"},
		{Both, "slab_reclaimable", "state=slab_reclaimable"},
	} {
		forms := memoryUsage.forms(c.conventions)
		if len(forms) != 1 || forms[0].name != "system.memory.usage" {
			t.Fatalf("conventions %s have the forms %+v", c.conventions, forms)
		}
		set, ok := forms[0].attributes(memoryUsage.Keys, []string{c.state})
		if ok != (c.want != "") {
			t.Errorf("conventions %s: state %s is sent: %v", c.conventions, c.state, ok)
		}
		if got := set.Encoded(attribute.DefaultEncoder()); ok && got != c.want {
			t.Errorf("conventions %s: state %s is sent as %s, want %s", c.conventions, c.state, got, c.want)
		}
	}
	if names := memorySlab.Names(Hostmetrics); names != nil {
		t.Errorf("the receiver's conventions have the slabs as %v too", names)
	}
}
