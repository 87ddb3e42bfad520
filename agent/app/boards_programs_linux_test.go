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

// TestProgramThatCameAndWent runs a program that uses a processor for some seconds of
// a much longer window. The panel shows its share of the whole window, which is
// compared with its CPU time according to the kernel.
func TestProgramThatCameAndWent(t *testing.T) {
	t.Parallel()
	list, err := grafana.Read("../../dashboards/panels.json")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.Panels, func(p grafana.Panel) bool { return p.ID == "process_cpu" })
	if i < 0 {
		t.Fatal("there is no panel of the programs' processor use")
	}
	// A copy of the shell, for a unique program name.
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "cameandwent")
	if err := os.WriteFile(program, shell, 0o700); err != nil {
		t.Fatal(err)
	}
	a := run(t, configure(t))
	a.ticks(2)
	cmd := exec.CommandContext(t.Context(), program, "-c", "i=0; while [ $i -lt 4000000 ]; do i=$((i+1)); done")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	burnt := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
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
		if one.Metric["process_executable_name"] == "cameandwent" {
			if shown, err = strconv.ParseFloat(one.Value[1].(string), 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What it used before it was first seen, and after it was last seen, is in no
	// difference of two readings: a second each at most.
	seconds := shown * window * float64(runtime.NumCPU())
	if burnt < 3 || !(seconds < burnt*1.1 && seconds > burnt*0.9-2) {
		t.Errorf("the panel shows %.2f s of %.2f s that it burnt", seconds, burnt)
	}
	t.Logf("the panel shows %.2f s of %.2f s that it burnt", seconds, burnt)
}
