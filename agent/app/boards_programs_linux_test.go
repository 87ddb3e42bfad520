package app

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"sysotel/dashboards/grafana"
)

// TestShortLivedProgram runs a program that uses a processor for a few seconds of a
// much longer window, and compares the panel's share of the whole window with the
// program's CPU time according to the kernel.
func TestShortLivedProgram(t *testing.T) {
	t.Parallel()
	list, err := grafana.Read("../../dashboards/panels.json")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.Panels, func(p grafana.Panel) bool { return p.ID == "process_cpu" })
	if i < 0 {
		t.Fatal("there is no panel process_cpu")
	}
	// A copy of the shell, for a unique program name.
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "shortlived")
	if err := os.WriteFile(program, shell, 0o700); err != nil {
		t.Fatal(err)
	}
	a := run(t, configure(t))
	a.ticks(2)
	cmd := exec.CommandContext(t.Context(), program, "-c", "i=0; while [ $i -lt 6000000 ]; do i=$((i+1)); done")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	used := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	a.ticks(2)

	const window = 60
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	values := grafana.Values{Host: host, Window: fmt.Sprintf("%ds", window), RateWindow: fmt.Sprintf("%ds", window)}
	p := &prometheusServer{tb: t, client: a.socket, url: "http://localhost/prometheus"}
	samples, _, err := p.query(grafana.Fill(list.Panels[i].Queries[0].Expr, values))
	if err != nil {
		t.Fatal(err)
	}
	shown := math.NaN()
	for _, one := range samples {
		if one.Metric["process_executable_name"] == "shortlived" {
			if shown, err = strconv.ParseFloat(one.Value[1].(string), 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Usage before the first and after the last reading of the program is missing, at
	// most a second each.
	seconds := shown * window * float64(runtime.NumCPU())
	if used < 3 || !(seconds < used*1.1 && seconds > used*0.9-2) {
		t.Errorf("the panel shows %.2f s of CPU time, the kernel counted %.2f s", seconds, used)
	}
	t.Logf("the panel shows %.2f s of CPU time, the kernel counted %.2f s", seconds, used)
}
