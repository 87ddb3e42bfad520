package template

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promtemplate "github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/util/features"
)

var (
	// twelfth is a day whose layout "12" makes "1212".
	twelfth = time.Date(2026, 12, 12, 12, 0, 0, 0, time.UTC)
	element = promql.Sample{Metric: labels.FromStrings("__name__", "disk_used", "device", "sda1", "host_name", "web1.example.org"), F: 1765540800.5}
)

func environment() *Environment {
	base, _ := url.Parse("https://web1.example.org/sysotel")
	return &Environment{
		At: twelfth, URL: base, Labels: map[string]string{"host_name": "web1"},
		Query: func(_ context.Context, text string, _ time.Time) (promql.Vector, error) {
			if text != "up" {
				return nil, fmt.Errorf("unknown: %s", text)
			}
			return promql.Vector{{Metric: labels.FromStrings("device", "b", "__value__", "x"), F: 2}, {Metric: labels.FromStrings("device", "a"), F: 1}}, nil
		},
	}
}

// expand expands a text that is valid.
func expand(t *testing.T, source string) (string, error) {
	t.Helper()
	text, err := Parse(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return text.Expand(t.Context(), environment(), element, MaxSource)
}

// unbounded expands a text as Prometheus does.
func unbounded(source string) (string, error) {
	e := environment()
	data := promtemplate.AlertTemplateData(element.Metric.Map(), e.Labels, e.URL.String(), element)
	return promtemplate.NewTemplateExpander(context.Background(), variables+source, "text", data, model.TimeFromUnixNano(e.At.UnixNano()), e.Query, e.URL, nil).Expand()
}

// TestSame: what real rules write comes out as Prometheus writes it.
func TestSame(t *testing.T) {
	for _, source := range []string{
		"no template { at }} all",
		"{{ $labels.device }} is {{ $value }}",
		"{{ $labels.missing }}|{{ .Labels.device }}|{{ $externalLabels.host_name }}|{{ $externalURL }}|{{ externalURL }}|{{ pathPrefix }}",
		`{{ printf "%.2f" $value }} {{ printf "%5d|%-8s|%q" 3 "x" "y" }} {{ printf "%[2]s%[1]s" "a" "b" }} {{ printf "%*d" 5 1 }}`,
		"{{ $value | humanize }} {{ humanize1024 $value }} {{ humanizePercentage 0.5 }} {{ humanizeDuration 90 }} {{ $value | humanizeTimestamp }}",
		`{{ ($value | toTime).Format "2006-01-02" }} {{ now }} {{ parseDuration "5m" }} {{ toDuration 3 }}`,
		`{{ with query "up" }}{{ range sortByLabel "device" . }}{{ label "device" . }}={{ value . }}{{ strvalue . }};{{ end }}{{ . | first | value }}{{ else }}none{{ end }}`,
		`{{ range $i, $x := query "up" }}{{ if eq $i 1 }}{{ break }}{{ end }}{{ $x.Labels.device }}{{ else }}none{{ end }}`,
		`{{ range 3 }}{{ . }}{{ if lt . 1 }}{{ continue }}{{ end }}-{{ end }}`,
		`{{ if eq $labels.device "sda" }}a{{ else if match "^sda" $labels.device }}b{{ else }}c{{ end }}`,
		`{{ reReplaceAll "(.)da([0-9])" "$2-$1" $labels.device }} {{ title "ab" }} {{ toUpper "ab" }} {{ toLower "AB" }}`,
		`{{ "<&>" | html }} {{ "a b" | urlquery }} {{ js "'" }} {{ "x" | safeHtml }} {{ urlQueryEscape "a/b" }} {{ graphLink "up" }} {{ tableLink "up" }}`,
		`{{ stripPort "a:1" }} {{ stripDomain "a.b:1" }} {{ args 1 "b" }} {{ (args 1 2).arg0 }} {{ index (args 5) "arg0" }} {{ len $labels }} {{ slice "abc" 1 }}`,
		"{ {{- $value }} {{ $value -}} }\n  {{- /* a remark */ -}}\n{{{ $value }}}",
		"{{{{ 1 }}",
		`{{ $x := "a" }}{{ if true }}{{ $x = print $x "b" }}{{ end }}{{ $x }}{{ println 1 2 }}{{ print nil }}`,
		`{{ and 1 0 }}{{ or 0 "x" }}{{ not true }}{{ '-' }}{{ -1 }}{{ 0x10 }}{{ 1e3 }}{{ true }}`,
		`{{ template_ }}`, "{{ $nothing }}", "{{ .Labels.device", "{{ nil }}", `{{ query "down" }}`, `{{ first (query "x") }}`, "{{ humanize `x` }}", "{{ .Missing }}",
	} {
		want, wantErr := unbounded(source)
		text, err := Parse(source)
		got := ""
		if err == nil {
			got, err = text.Expand(t.Context(), environment(), element, MaxSource)
		}
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Errorf("%s: %q, %v; Prometheus has %q, %v", source, got, err, want, wantErr)
		}
		if err != nil && strings.Contains(err.Error(), "sysotel_") {
			t.Errorf("%s: the error names what its author did not write: %v", source, err)
		}
	}
}

// TestFunctions: the functions that are replaced exist in Prometheus, or are those of
// text/template; those that Prometheus adds later are to be looked at here.
func TestFunctions(t *testing.T) {
	known := names{}
	promtemplate.RegisterFeatures(known)
	want := "args externalURL first graphLink humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp label match now parseDuration " +
		"pathPrefix query reReplaceAll safeHtml sortByLabel stripDomain stripPort strvalue tableLink title toDuration toLower toTime toUpper urlQueryEscape value"
	for _, name := range strings.Fields(want) {
		if !known[name] {
			t.Errorf("Prometheus no longer has the function %s", name)
		}
		delete(known, name)
	}
	for name := range known {
		t.Errorf("Prometheus has a new function %s: can it make much of little?", name)
	}
}

type names map[string]bool

func (n names) Enable(_, name string)  { n[name] = true }
func (n names) Disable(_, name string) {}
func (n names) Set(_, name string, _ bool) {
	n[name] = true
}
func (names) Get() map[string]map[string]bool { return nil }

var _ features.Collector = names{}

// harmful are templates that ask for more than there is, each in its own way.
var harmful = map[string]string{
	"a wide column":              `{{ printf "%999999d" 1 }}{{ printf "%0999999d" 1 }}`,
	"a width from an argument":   `{{ printf "%*d" 999999 1 }}{{ printf "%*d" 999999 1 }}`,
	"a long precision":           `{{ printf "%.999999f" 1.5 }}{{ printf "%.999999f" 1.5 }}`,
	"a loop":                     `{{ range 1000000000 }}{{ end }}`,
	"loops in loops":             `{{ range 100000 }}{{ range 100000 }}{{ end }}{{ end }}`,
	"a loop that prints":         `{{ range 1000000 }}ten bytes!{{ end }}`,
	"doubling by print":          `{{ $x := "0123456789" }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}`,
	"doubling by printf":         `{{ $x := "0123456789" }}{{ range 40 }}{{ $x = printf "%s%s" $x $x }}{{ end }}`,
	"one argument many times":    `{{ $x := printf "%9999d" 1 }}{{ printf "` + strings.Repeat("%[1]s", 999) + `" $x }}`,
	"doubling by the time":       `{{ $t := toTime 1797076800 }}{{ $x := "12" }}{{ range 40 }}{{ $x = $t.Format $x }}{{ end }}`,
	"doubling by nested times":   `{{ $t := toTime 1797076800 }}{{ ` + strings.Repeat("$t.Format (", 60) + `"12"` + strings.Repeat(")", 60) + ` }}`,
	"doubling by piped times":    `{{ $t := toTime 1797076800 }}{{ "12"` + strings.Repeat(" | $t.Format", 60) + ` }}`,
	"maps of maps, printed":      `{{ $x := args 1 }}{{ range 40 }}{{ $x = args $x $x }}{{ end }}{{ $x }}`,
	"maps of maps, escaped":      `{{ $x := args 1 }}{{ range 40 }}{{ $x = args $x $x }}{{ end }}{{ html $x }}`,
	"many texts kept":            `{{ $x := args 1 }}{{ range 10000 }}{{ $x = args $x (printf "%60000d" 1) }}{{ end }}`,
	"replacements":               `{{ $x := printf "%30000d" 1 }}{{ reReplaceAll " " $x $x }}`,
	"groups in replacements":     `{{ $x := printf "%30000d" 1 }}{{ reReplaceAll "(.*)" "` + strings.Repeat("$1", 100) + `" $x }}`,
	"searches to the end":        `{{ $x := printf "%60000d" 1 }}{{ range 100 }}{{ $y := reReplaceAll "(?: .*b)| " "" $x }}{{ end }}`,
	"repeated repetitions":       `{{ match "((((x{1,30}){1,30}){1,30}))" "x" }}`,
	"a class many times":         `{{ match "(\\pL|\\pN){999}" "x" }}`,
	"escaping":                   `{{ $x := printf "%30000s" "<" }}{{ range 100 }}{{ $y := html $x | js | urlquery }}{{ end }}`,
	"queries":                    `{{ range 1000 }}{{ query "up" }}{{ end }}`,
	"a long result":              `{{ printf "%20000d" 1 }}`,
	"spending by hand":           `{{ sysotel_spend -1 }}`,
	"texts in many variables":    strings.Repeat(`{{$x:=printf "%60000d" 1}}`, 600),
	"a deep nest of parentheses": `{{ ` + strings.Repeat("(", 4000) + "1" + strings.Repeat(")", 4000) + ` }}`,
}

// TestHarmful: each ends soon, in little memory, with a sentence for the message.
func TestHarmful(t *testing.T) {
	for name, source := range harmful {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			text, err := Parse(source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := text.Expand(t.Context(), environment(), element, MaxSource)
			runtime.ReadMemStats(&after)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
			if made := after.TotalAlloc - before.TotalAlloc; made > 64<<20 {
				t.Errorf("it allocated %d bytes", made)
			}
			if name == "a deep nest of parentheses" {
				return // Long, and harmless.
			}
			if err == nil || !strings.HasPrefix(got, "<error expanding template: ") || len(got) > maxError+8 {
				t.Errorf("%.100s, %v", got, err)
			}
		})
	}
}

// TestRejected: what cannot be bounded is an error when the rules are loaded.
func TestRejected(t *testing.T) {
	for name, source := range map[string]string{
		"recursion":   `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`,
		"a block":     `{{ block "x" . }}{{ end }}`,
		"a call":      `{{ if true }}{{ template "text" }}{{ end }}`,
		"long":        strings.Repeat("x", MaxSource+1),
		"not closed":  "{{ range 3 }}",
		"no function": "{{ nothing }}",
	} {
		if _, err := Parse(source); err == nil || strings.Contains(err.Error(), "sysotel_") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := expand(t, "{{ $labels.device }}"); err != nil {
		t.Error(err)
	}
	text, err := Parse("{{ range 1000000000 }}{{ end }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := text.Expand(t.Context(), environment(), element, MaxSource); !errors.Is(err, ErrExhausted) {
		t.Errorf("a loop: %v", err)
	}
}

// TestGrammar: random templates are executed as Prometheus would, or end with an
// error, and never take more than a small budget of memory.
func TestGrammar(t *testing.T) {
	grammar(t, 3*time.Second)
}

// TestGrammarSoak is the same for longer.
func TestGrammarSoak(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("SYSOTEL_TEST_SOAK"))
	if err != nil {
		t.Skip("set SYSOTEL_TEST_SOAK=10m to run it")
	}
	grammar(t, d)
}

func grammar(t *testing.T, d time.Duration) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := &generator{rand.New(rand.NewPCG(seed, 0))}
	executed, failed := 0, 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		source := g.list(4)
		if len(source) > MaxSource {
			continue
		}
		text, err := Parse(source)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, source, err)
		}
		start := time.Now()
		got, err := text.Expand(t.Context(), environment(), element, MaxSource)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("seed %d: it took %s: %s", seed, took, source)
		}
		executed++
		if err != nil {
			failed++
			continue
		}
		// It fits the budget, so that Prometheus can do it too.
		if want, err := unbounded(source); err != nil || got != want {
			t.Fatalf("seed %d: %s: %q; Prometheus has %q, %v", seed, source, got, want, err)
		}
	}
	t.Logf("%d templates, of which %d ended with an error", executed, failed)
	if executed == failed || failed == 0 {
		t.Errorf("of %d templates %d failed; the grammar tests one side only", executed, failed)
	}
	if peak := highWater(); peak > 200<<20 {
		t.Errorf("seed %d: the process took %d MiB", seed, peak>>20)
	}
}

// highWater is the largest memory that this process had, 0 where it is not known.
func highWater() int {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kib int
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// generator makes random templates.
type generator struct{ *rand.Rand }

func (g *generator) pick(all ...string) string { return all[g.IntN(len(all))] }

func (g *generator) list(depth int) string {
	text := ""
	for range g.IntN(4) {
		text += g.node(depth)
	}
	return text
}

func (g *generator) node(depth int) string {
	if depth == 0 {
		return g.pick("plain ", "{{ $value }}", "{ ", "}", "\n", "%s", "é")
	}
	switch g.IntN(9) {
	case 0:
		return "{{ if " + g.value(depth-1) + " }}" + g.list(depth-1) + "{{ else }}" + g.list(depth-1) + "{{ end }}"
	case 1:
		return "{{ range $i := " + g.pick("3", "10", "100", "100000", "1000000000") + " }}" + g.list(depth-1) + g.grow(depth-1) + "{{ end }}"
	case 2:
		return `{{ range query "up" }}` + g.list(depth-1) + "{{ end }}"
	case 3:
		return "{{ with $w := " + g.value(depth-1) + " }}" + g.list(depth-1) + "{{ end }}"
	case 4:
		return "{{ $x := " + g.value(depth-1) + " }}" + g.grow(depth-1) + "{{ $x }}"
	case 5:
		return g.pick("text ", "{ ", "}}", "  \n", "\\")
	}
	return g.pick("{{ ", "{{- ") + g.value(depth) + g.pick(" }}", " -}}")
}

// grow makes a variable larger.
func (g *generator) grow(depth int) string {
	if depth == 0 {
		return ""
	}
	return `{{ $x := "12" }}{{ range ` + g.pick("3", "8", "40", "400") + " }}{{ $x = " + g.pick(
		"print $x $x", `printf "%s%s" $x $x`, `printf "%q" $x`, `(toTime 1797076800).Format (print $x)`, "args $x $x", "html $x",
		`reReplaceAll "." "$0$0" (print $x)`, `urlQueryEscape (print $x "%")`, `graphLink (print $x)`, `printf "%[1]v%[1]v" $x`, "js $x", "toUpper (print $x `a`)",
	) + " }}{{ end }}{{ $x }}"
}

func (g *generator) value(depth int) string {
	if depth == 0 {
		return g.pick("$value", "$labels.device", "$labels", "1", "2.5", `"text"`, "$labels.none", "$externalURL", "externalURL", "now", "true", "'x'", "`raw`")
	}
	inner := "(" + g.value(depth-1) + ")"
	switch g.IntN(8) {
	case 0:
		return inner + " | " + g.pick("print", "html", "printf `%v`", "js", "urlquery", "println", "args")
	case 1:
		return g.pick("print ", "html ", "println ", "args ", "urlquery ", "js ") + inner + " " + g.value(0)
	case 2:
		return `printf "` + g.pick("%v", "%5v", "%q", "%x", "%-9v", "%99999v", "%[1]v%[1]v", "%.3v", "%999999d", "%#v", "%T") + `" ` + inner
	case 3:
		return "reReplaceAll " + g.pick("`.`", "`(a|b)+`", "`x{100}`", "`(.*)`", "``", "`(?i)[a-z]{2,30}`") + " " + g.pick("`$0`", "`$1$1`", "``", "`xy`") + " (print " + inner + ")"
	case 4:
		return "match " + g.pick("`^a`", "`(x{30}){30}`", "`.*.*.*z`") + " (print " + inner + ")"
	case 5:
		return "or (and " + inner + " " + g.value(0) + ") " + g.value(0)
	case 6:
		return "len (print " + inner + ")"
	}
	return "title (print " + inner + ")"
}
