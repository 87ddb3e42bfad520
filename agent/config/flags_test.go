package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"sysotel/agent/export"
)

func TestFlags(t *testing.T) {
	c := load(t, Options{Env: home(), Args: []string{
		"--http.listen", "127.0.0.1:1", "--prometheus.insecure", "--prometheus.node-exporter=false",
		"--processes.command-line", "--instruments.network.exclude=", "--instruments.disk.include", "sd*, nvme*",
		"--otlp.headers=a=b,c=d=e", "--data-dir", "/srv",
	}})
	switch {
	case c.API.HTTP.Listen != "127.0.0.1:1",
		!c.Export.Prometheus.Insecure, c.Export.Prometheus.NodeExporter != export.NoNodeNames,
		!c.Instruments.Processes.CommandLine,
		len(c.Instruments.Collectors["network"].Exclude) != 0,
		strings.Join(c.Instruments.Collectors["disk"].Include, "|") != "sd*|nvme*",
		c.Export.OTLP.Headers["c"] != "d=e",
		c.DataDir != "/srv":
		t.Errorf("got %+v", c)
	}
}

// TestNodeExporterFlag: the flag is a switch, and takes a word.
func TestNodeExporterFlag(t *testing.T) {
	for flag, want := range map[string]export.NodeExporter{
		"": export.LegacyNodeNames, "--prometheus.node-exporter": export.LegacyNodeNames, "--prometheus.node-exporter=full": export.AllNodeNames,
	} {
		if c := load(t, Options{Env: home(), Args: strings.Fields(flag)}); c.Export.Prometheus.NodeExporter != want {
			t.Errorf("%q is %s", flag, c.Export.Prometheus.NodeExporter)
		}
	}
}

func TestWrongFlags(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		_, invalid := Load(Options{Env: home(), Args: strings.Fields(args)})
		if got := strings.TrimSuffix(lines(invalid), "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", args, got, want)
		}
	}
	f("--htp.listen 127.0.0.1:1", "--htp.listen: unknown option; did you mean --http.listen? (command line)")
	f("-http.listen=127.0.0.1:1", "-http.listen: unknown option; did you mean --http.listen? (command line)")
	f("--data_dir=/srv", "--data_dir: unknown option; did you mean --data-dir? (command line)")
	f("--custom.commands=x", "--custom.commands: unknown option (command line)")
	f("--http.listen", "--http.listen: needs a value (command line)")
	f("--http.listen --prometheus.insecure", "--http.listen: needs a value (command line)")
	f("--processes.top 1 --processes.top=2", "--processes.top: is given twice (command line)")
	f("--processes.top -1", "processes.top: -1 is not allowed: must be from 1 to 200 (--processes.top)")
	f("--prometheus.insecure=yes", "prometheus.insecure: yes is not allowed: must be true or false (--prometheus.insecure)")
	f("--prometheus.node-exporter=all", "prometheus.node_exporter: all is not allowed: must be one of false, true, full; did you mean full? (--prometheus.node-exporter)")
	f("--prometheus.insecure topsecret", "argument 2: is not an option; write --name VALUE or --name=VALUE, and --name=false to turn something off (command line)")
	f("--sampling.interval=0", "sampling.interval: 0 is not allowed: must be a duration with a unit, such as 500ms, 1s or 7d (--sampling.interval)")
	f("--log.level=inf --log.format=xml", "log.level: inf is not allowed: must be one of debug, info, warn, error; did you mean info? (--log.level)\n"+
		"log.format: xml is not allowed: must be one of text, json (--log.format)")
	f("--otlp.headers=topsecret", "otlp.headers: must be name=value pairs separated by commas, with %2C for a comma in a value and %25 for a % (--otlp.headers)")
}

// TestDurations: durations have the units of Go's, and days, weeks and years.
func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{"1.5s": 1500 * time.Millisecond, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "1y": 8760 * time.Hour} {
		var d time.Duration
		if rule := parseDuration(reflect.ValueOf(&d).Elem(), text); rule != "" || d != want {
			t.Errorf("%s is %s (%s), want %s", text, d, rule, want)
		}
	}
	for _, text := range []string{"", "0", "60", "d", "7 d", "1.5d", "1d-2h"} {
		var d time.Duration
		if rule := parseDuration(reflect.ValueOf(&d).Elem(), text); rule == "" {
			t.Errorf("%q is taken as %s", text, d)
		}
	}
}
