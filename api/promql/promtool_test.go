package promql

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/promqltest"

	"sysotel/otel-collector/programs"
)

// TestPromtoolQueries queries with the real promtool, below a prefix as in the
// agent.
func TestPromtoolQueries(t *testing.T) {
	h := handlerOn(promqltest.LoadedStorage(t, script))
	server := httptest.NewServer(http.StripPrefix("/prometheus", h))
	defer server.Close()
	address := server.URL + "/prometheus"
	f := func(want string, args ...string) {
		t.Helper()
		out, err := programs.Command(t, "promtool", append([]string{"query"}, args...)...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("promtool query %q: %v\n%s\nwant\n%s", args, err, out, want)
		}
	}
	f(`{cpu="0", host_name="h"} => 1 @[30]`, "instant", "--time=30", address, `rate(cpu_total{cpu="0"}[20s])`)
	f("{} =>\n10.5 @[10]\n31.5 @[30]", "range", "--start=10", "--end=30", "--step=20s", address, "sum(cpu_total)")
	f(`{__name__="cpu_total", cpu="0", host_name="h"}`+"\n"+`{__name__="cpu_total", cpu="1", host_name="h"}`,
		"series", "--start=0", "--end=60", "--match=cpu_total", address)
	f("cpu_total\nodd\nup", "labels", "--start=0", "--end=60", address, "__name__")
	out, err := programs.Command(t, "promtool", "query", "instant", address, "sum(").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "bad_data") || !strings.Contains(string(out), "unclosed left parenthesis") {
		t.Errorf("promtool with a broken expression: %v\n%s", err, out)
	}
}
