package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// grammar makes valid expressions of PromQL, most of them absurd.
type grammar struct{ *rand.Rand }

func pick[T any](g grammar, from ...T) T { return from[g.IntN(len(from))] }

// word is a text of a random length, rarely a long one.
func (g grammar) word() string {
	return strings.Repeat(pick(g, "a", "x1", "é", "ab-c"), pick(g, 1, 1, 1, 3, 30, 300, 3000, 10_000))
}

// references is a replacement with references to what matched.
func (g grammar) references() string {
	return pick(g, "$1", "$1$1", "${1}-$1", "x", strings.Repeat("$1", 200), "$0$1"+g.word())
}

func (g grammar) pattern() string {
	return pick(g, "(.*)", "(.+)", "([a-z]+).*", "(.*)(.*)(.*)(.*)", "((a|b)*c?)*.*", "(.{1,300})*", "(x?){500}x{500}.*",
		strings.Repeat("(.?)", 200)+".*", strings.TrimSuffix(strings.Repeat(g.word()+"|", 20), "|")+"|.*", "(?i)(.*[k-z].*)", `(\\pL|\\d)*(.*)`)
}

func (g grammar) duration() string {
	return pick(g, "1s", "10s", "1m", "5m", "30m", "1h", "1d", "30d", "1y")
}

func (g grammar) label() string {
	return pick(g, "state", "cpu", "host_name", "device", "mountpoint", "process_executable_name", "a", "b", "job", "instance")
}

func (g grammar) selector() string {
	s := pick(g, "system_cpu_time_seconds_total", "sysotel_cpu_usage_ratio", "system_memory_usage_bytes", "process_memory_usage_bytes",
		`{__name__=~".+"}`, `{__name__=~"system.*"}`, `{__name__=~"process_.*"}`, `{host_name!="`+g.word()+`",__name__!=""}`,
		`{__name__=~".+",`+g.label()+`=~"`+g.pattern()+`"}`, `{__name__=~".*_total",`+g.label()+`!~"`+g.pattern()+`"}`)
	return s
}

func (g grammar) shifted(s string) string {
	return s + pick(g, "", "", "", "", " offset "+g.duration(), " @ end()", " offset -"+g.duration())
}

// ranged is a range of samples.
func (g grammar) ranged(depth int) string {
	if depth <= 0 || g.IntN(3) > 0 {
		return g.shifted(g.selector() + "[" + g.duration() + "]")
	}
	return g.shifted("(" + g.vector(depth-1) + ")[" + g.duration() + ":" + pick(g, "", "1s", "10s", "1m", "1h") + "]")
}

// vector is an expression that is an instant vector.
func (g grammar) vector(depth int) string {
	if depth <= 0 {
		return pick(g, g.shifted(g.selector()), g.shifted(g.selector()), "vector("+strconv.Itoa(g.IntN(100))+")")
	}
	in := func() string { return g.vector(depth - 1 - g.IntN(2)) }
	by := pick(g, " by", " without") + " (" + g.label() + pick(g, "", ", "+g.label()) + ") "
	switch g.IntN(16) {
	case 0, 1, 2:
		return fmt.Sprintf(`label_replace(%s, %q, "%s", %q, "%s")`, in(), g.label(), g.references(), g.label(), g.pattern())
	case 3:
		sources := ""
		for range pick(g, 1, 2, 3, 50) {
			sources += fmt.Sprintf(", %q", g.label())
		}
		return fmt.Sprintf(`label_join(%s, %q, "%s"%s)`, in(), g.label(), g.word(), sources)
	case 4:
		return fmt.Sprintf(`count_values%s(%q, %s)`, by, g.label(), in())
	case 5:
		return fmt.Sprintf(`%s%s(%d, %s)`, pick(g, "topk", "bottomk", "limitk"), by, pick(g, 1, 10, 1_000_000), in())
	case 6:
		return fmt.Sprintf(`%s%s(%s)`, pick(g, "sum", "max", "avg", "count", "group", "stddev"), by, in())
	case 7:
		return fmt.Sprintf(`%s %s on(%s) group_left(%s) %s`, in(), pick(g, "*", "+", "> bool"), g.label(), g.label(), in())
	case 8:
		return fmt.Sprintf(`(%s) %s (%s)`, in(), pick(g, "or", "or", "and", "unless", "*", "/ ignoring(a)"), in())
	case 9, 10:
		return fmt.Sprintf(`%s(%s)`, pick(g, "rate", "increase", "delta", "max_over_time", "sum_over_time", "changes", "mad_over_time", "last_over_time", "absent_over_time", "stddev_over_time"), g.ranged(depth))
	case 11:
		return fmt.Sprintf(`quantile_over_time(0.%d, %s)`, g.IntN(10), g.ranged(depth))
	case 12:
		return fmt.Sprintf(`%s(%s, %q)`, pick(g, "sort_by_label", "sort_by_label_desc"), in(), g.label())
	case 13:
		return fmt.Sprintf(`%s(%s)`, pick(g, "abs", "-", "timestamp", "sort", "absent", "ceil", "sgn", "day_of_week"), in())
	case 14:
		return fmt.Sprintf(`(%s) * %s`, in(), pick(g, "1e308", "5e-324", "0", "time()", "scalar("+g.selector()+")"))
	}
	return fmt.Sprintf(`info(%s)`, in())
}

// request is a random request of the Prometheus API.
func (g grammar) request(now time.Time) (path string, form url.Values) {
	expr := g.vector(g.IntN(5))
	switch g.IntN(12) {
	case 0:
		return "series", url.Values{"match[]": {g.selector(), g.selector(), g.selector()}}
	case 1:
		return "labels", url.Values{"match[]": {g.selector()}}
	case 2:
		return "format_query", url.Values{"query": {expr}}
	case 3, 4, 5, 6:
		return "query", url.Values{"query": {pick(g, expr, expr, expr, g.ranged(2))}}
	}
	length := pick(g, time.Minute, time.Hour, time.Hour, 24*time.Hour, 365*24*time.Hour)
	steps := pick(g, 1, 10, 500, 1000, 11_000)
	return "query_range", url.Values{
		"query": {expr}, "start": {fmt.Sprint(now.Add(-length).Unix())}, "end": {fmt.Sprint(now.Unix())},
		"step": {fmt.Sprint(max(1, int(length.Seconds())/steps))},
	}
}

// mostResident is the memory that the agent may take, whatever it is asked.
const mostResident = 200_000_000

// expressionsLength is how long random expressions are asked.
func expressionsLength(t *testing.T) time.Duration {
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		return soakLength(t)
	}
	return 12 * time.Second
}

// TestSoakExpressions has several clients ask random expressions of the agent, as fast
// as they are answered, some without reading the answers. The agent never takes more
// than 200 MB, and an honest client beside them is served.
func TestSoakExpressions(t *testing.T) {
	for name, value := range map[string]string{"GOGC": "50", "GOMAXPROCS": "2"} { // As main does.
		t.Setenv(name, value)
	}
	length := expressionsLength(t)
	seed := uint64(1) // The short form asks the same each time.
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		seed = uint64(time.Now().UnixNano())
	}
	if text := os.Getenv("SYSOTEL_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("SYSOTEL_TEST_SEED=%d", seed)

	c := configure(t, "--host.name=loaded", "--rate-limit.enabled=false")
	past(t, c)
	path := filepath.Join(c.DataDir, "expressions.log")
	a := spawn(t, "agent", "expressionsagent", nil, append(sameFlags(c), "--host.name=loaded", "--rate-limit.enabled=false", "--log.file="+path, "--log.format=json")...)
	socket := unixClient(c)
	awaitTick(t, socket, 2)
	address := fmt.Sprint(readJournal(t, path).await(t, map[string]any{"msg": "sysotel started"})["api"])
	poll(t, func() error { // The store may still be opening.
		_, err := ask(t.Context(), socket, floodQuestions()[1].path)
		return err
	})

	honest := newToken(t, socket, "honest")
	alone := honestFor(t, address, honest, length/4)

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	var tokens []string
	for i := range 4 {
		tokens = append(tokens, newToken(t, socket, fmt.Sprintf("asker%d", i)))
	}
	for i := range 8 {
		token := tokens[i%len(tokens)]
		g := grammar{rand.New(rand.NewPCG(seed, uint64(i)))}
		all.Go(func() {
			for ctx.Err() == nil {
				status, question, err := g.ask(ctx, address, token)
				if err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", question, err)
					return
				}
				if status == http.StatusInternalServerError {
					t.Errorf("%s: status %d", question, status)
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	beside := honestFor(t, address, honest, length)
	stop()
	all.Wait()

	peak := a.peak(t)
	t.Logf("%v, peak %d MB; honest client: p99 %v alone, %v beside them, %d and %d answers", statuses, peak/1e6, p99(alone), p99(beside), len(alone), len(beside))
	if peak > mostResident {
		t.Errorf("the agent took %d MB, at most %d are allowed", peak/1e6, mostResident/1_000_000)
	}
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" && p99(beside) > 3*p99(alone) {
		t.Errorf("the honest client waited %v, more than three times %v", p99(beside), p99(alone))
	}
	if t.Failed() {
		t.Logf("the agent's log:\n%s", readJournal(t, path))
	}
}

// ask sends a random request; now and then the answer is not read.
func (g grammar) ask(ctx context.Context, address, token string) (status int, question string, err error) {
	path, form := g.request(time.Now())
	question = fmt.Sprintf("%s %.2000s", path, form)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/prometheus/api/v1/"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, question, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+token)
	// A query may be sent again where the server closed a connection that was not used.
	r.Header["Idempotency-Key"] = []string{}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, question, err
	}
	defer response.Body.Close()
	if g.IntN(20) == 0 {
		select {
		case <-time.After(2 * time.Second):
		case <-ctx.Done():
		}
		return response.StatusCode, question, nil
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, question, err
}

// honestFor asks the query of a chart ten times a second, and returns how long the
// answers took.
func honestFor(t *testing.T, address, token string, length time.Duration) (took []time.Duration) {
	t.Helper()
	end := time.Now().Add(length)
	for tick := time.NewTicker(100 * time.Millisecond); time.Now().Before(end); <-tick.C {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+floodQuestions()[2].path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		began := time.Now()
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !json.Valid(body) {
			t.Fatalf("the honest client got %s %.300s, %v", response.Status, body, err)
		}
		took = append(took, time.Since(began))
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)*99/100]
}

// peak is the most memory that the process has taken.
func (c *child) peak(t *testing.T) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseUint(strings.Fields(string(rest))[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("no VmHWM in %s", text)
	return 0
}
