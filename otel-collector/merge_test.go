package otelcollector

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// patience bounds the wait for what normally takes a moment.
const patience = time.Minute

// node starts a node as the stack does.
func node(t *testing.T, dir string, env ...string) (url string, process *programs.Process) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(t))
	variables, err := programs.Environment("victoriametrics/all.env", "victoriametrics/1s.env")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "victoriametrics/node.sh", programs.Path(t, "victoria-metrics"), dir, address)
	cmd.Env = append(append(os.Environ(), variables...), env...)
	process = programs.Start(t, cmd)
	process.WaitHTTP("http://"+address+"/health", patience)
	return "http://" + address, process
}

// TestMergeFreesTheDisk: samples older than the retention of the finest tier are removed
// from disk by the merge that node.sh requests, and not before.
func TestMergeFreesTheDisk(t *testing.T) {
	dir := t.TempDir()
	url, process := node(t, dir, "VM_retentionPeriod=30d", "MERGE_EVERY=")
	const days = 3
	fill(t, url, days)
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	whole := size(t, filepath.Join(dir, "data"))

	// A retention of a day hides older samples at once, but keeps them on disk.
	url, process = node(t, dir, "MERGE_EVERY=")
	if rows := rowsOf(t, url); rows != days*perDay*fillSeries {
		t.Errorf("%d rows before the merge, want %d", rows, days*perDay*fillSeries)
	}
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := size(t, filepath.Join(dir, "data")); got < whole*9/10 {
		t.Errorf("without a merge the data went from %d to %d bytes", whole, got)
	}

	url, process = node(t, dir, "MERGE_FIRST=1")
	deadline := time.Now().Add(patience)
	// A node drops blocks of 8192 samples whole, so some of the second day stays.
	for rowsOf(t, url) > days*perDay*fillSeries/2 {
		if time.Now().After(deadline) {
			t.Fatalf("%d rows %s after the start\n%s", rowsOf(t, url), patience, process.Output())
		}
		<-time.After(100 * time.Millisecond)
	}
	if err := process.Stop(); err != nil {
		t.Fatal(err)
	}
	left := size(t, filepath.Join(dir, "data"))
	t.Logf("%d days in %d bytes; after the merge one day in %d", days, whole, left)
	if left > whole/2 {
		t.Errorf("the merge left %d of %d bytes", left, whole)
	}
}

// The number of series that fill writes, and of their samples per day.
const (
	fillSeries = 20
	perDay     = 8640
)

// fill writes a sample every ten seconds for some days until now.
func fill(t *testing.T, url string, days int) {
	t.Helper()
	now := time.Now().Truncate(10 * time.Second)
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	for i := range fillSeries {
		var line struct {
			Metric     map[string]string `json:"metric"`
			Values     []float64         `json:"values"`
			Timestamps []int64           `json:"timestamps"`
		}
		line.Metric = map[string]string{"__name__": "filled", "series": strconv.Itoa(i)}
		for j := range days * perDay {
			line.Values = append(line.Values, float64(rand.IntN(100000))/100)
			line.Timestamps = append(line.Timestamps, now.Add(-time.Duration(j)*10*time.Second).UnixMilli())
		}
		if err := encoder.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	ask(t, http.MethodPost, url+"/api/v1/import", &body)
	ask(t, http.MethodGet, url+"/internal/force_flush", http.NoBody)
	if rows := rowsOf(t, url); rows != days*perDay*fillSeries {
		t.Fatalf("%d rows were accepted, want %d", rows, days*perDay*fillSeries)
	}
}

// rowsOf returns the number of samples of a node, on disk and in memory.
func rowsOf(t *testing.T, url string) int {
	t.Helper()
	total := 0
	for _, m := range regexp.MustCompile(`(?m)^vm_rows\{type="storage/[a-z]+"\} (\d+)$`).FindAllSubmatch(ask(t, http.MethodGet, url+"/metrics", http.NoBody), -1) {
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

func ask(t *testing.T, method, url string, body io.Reader) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		t.Fatalf("%s answered %s: %s, %v", url, response.Status, text, err)
	}
	return text
}

// size returns the total size of the files below a folder, in bytes.
func size(t *testing.T, folder string) (total int64) {
	t.Helper()
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		total += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return total
}
