package exposition

import (
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const expositionText = `# HELP raid_disks Disks of an array.
# TYPE raid_disks gauge
raid_disks{array="md0",state="active"} 2
raid_disks{array="md0",state="failed"} NaN
# TYPE backup_runs_total counter
backup_runs_total 7
# TYPE request_seconds histogram
request_seconds_bucket{le="0.1"} 3
request_seconds_bucket{le="+Inf"} 4
request_seconds_sum 1.5
request_seconds_count 4
no_type 1
`

func TestParse(t *testing.T) {
	families, errs := Parse([]byte(expositionText))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var names []string
	for _, f := range families {
		names = append(names, fmt.Sprintf("%s %s %d", f.GetName(), typeWord(f), len(f.Metric)))
	}
	want := "backup_runs_total counter 1, no_type untyped 1, raid_disks gauge 2, request_seconds histogram 1"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestExpositionErrors(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		kept             int
	}{
		{"garbage names its line", "good 1\n%$&!\n", `line 2: `, 0},
		{"what a value is", "good 1\nbad hunter2\n", `line 2: expected float as value, got "…"`, 0},
		{"a quote in it", "good 1\n# TYPE bad hun\"ter\n", `line 2: unknown metric type "…"`, 0},
		{"half a line", "good 1\nbad{a=\"b", "line 2: unexpected end of input stream", 0},
		{"our own name", "good 1\nsysotel_cpu_time 5\n", "metric sysotel_cpu_time: names that begin with sysotel_ are the agent's own", 1},
		{"our own name, hidden", "__sysotel_x 5\n", "names that begin with sysotel_ are", 0},
		{"the resource", "target_info 1\n", "names that begin with target_info are", 0},
		{"our label", "a{host_name=\"x\"} 1\nb 2\n", "metric a: the label host_name is the agent's own", 1},
		{"a time of its own", "a 1 1700000000000\nb 2\n", "metric a: has a timestamp of its own", 1},
		{"a series twice", "a{b=\"\"} 1\n# HELP a x\na 2\na{c=\"d\"} 3\na{b=\"\", e=\"\"} 4\n", "line 3: series a{} is also in line 1; a label without a value counts as none", 1},
		{"histogram of gauges", "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1\n", "metric a: OpenTelemetry has no histograms of gauges", 0},
		{"too long", strings.Repeat("#", MaxBytes+1), "is larger than 1048576 bytes", 0},
	} {
		families, errs := Parse([]byte(c.text))
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.want) || len(families) != c.kept {
			t.Errorf("%s: %d families kept and errors %v, want %d and %q", c.name, len(families), errs, c.kept, c.want)
		}
	}
}

func TestExpositionBounds(t *testing.T) {
	var text strings.Builder
	for i := range MaxSeries {
		fmt.Fprintf(&text, "a{i=\"%d\"} 1\n", i)
	}
	if families, errs := Parse([]byte(text.String())); len(errs) > 0 || len(families[0].Metric) != MaxSeries {
		t.Errorf("%d series give the errors %v", MaxSeries, errs)
	}
	text.WriteString("b 1\n")
	if families, errs := Parse([]byte(text.String())); families != nil || len(errs) != 1 || errs[0].Error() != "has 10001 series, at most 10000 are possible" {
		t.Errorf("one series more gives the errors %v", errs)
	}
	text.Reset()
	for i := range 15 {
		fmt.Fprintf(&text, "sysotel_%d 1\n", i)
	}
	if _, errs := Parse([]byte(text.String())); len(errs) != maxErrors+1 || errs[maxErrors].Error() != "and 5 more errors" {
		t.Errorf("15 errors are reported as %v", errs)
	}
}

func TestPageNames(t *testing.T) {
	counter := dto.MetricType_COUNTER
	name := "_a__b_total"
	if got := pageNames(&dto.MetricFamily{Name: &name, Type: &counter}); got[0] != "a_b_total" {
		t.Errorf("got %v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(expositionText))
	f.Add([]byte("# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 2\na_count 3\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		families, errs := Parse(text)
		merged, _ := Merge([]Source{{Name: "a", Families: families, Errors: errs}, {Name: "b", Families: families}}, nil, MaxMerged)
		for _, family := range merged {
			if err := check(family); err != nil {
				t.Error(err)
			}
		}
	})
}
