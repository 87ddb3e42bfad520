package packaging

import (
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sysotel/otel-collector/programs"
)

// TestCluster: docker-compose accepts the cluster's file on top of the stack's, its
// images have the version of the single node in the tests, and each tier is
// replicated and has the retention of its single node. The cluster's programs are in
// no Go module, so no test runs them.
func TestCluster(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "/usr/bin/docker-compose", "-f", "docker-compose.yml", "-f", "otel-collector/cluster/compose.yml", "config")
	cmd.Dir = "../.."
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker-compose rejects the cluster's file: %v", err)
	}
	var file struct {
		Services map[string]struct {
			Image       string
			Command     []string
			Environment map[string]any
			Profiles    []string
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	want := required(t, "otel-collector/tools/victoriametrics/go.mod", "github.com/VictoriaMetrics/VictoriaMetrics") + "-cluster"
	for name, s := range file.Services {
		program, version, _ := strings.Cut(s.Image, ":")
		if strings.HasPrefix(program, "victoriametrics/vm") && version != want {
			t.Errorf("%s runs %s; the tests have the version %q", name, s.Image, want)
		}
		if program == "victoriametrics/victoria-metrics" && len(s.Profiles) == 0 {
			t.Errorf("%s, a single node, is started with the cluster", name)
		}
	}
	asks := prometheusOf(t, "otel-collector/prometheus/cluster.yml")
	single := prometheusOf(t, "otel-collector/prometheus/compose.yml")
	if command := strings.Join(file.Services["prometheus"].Command, " "); !strings.Contains(command, "--config.file=/etc/prometheus/cluster.yml ") {
		t.Errorf("Prometheus does not scrape the cluster: %s", command)
	}
	if !slices.Equal(asks.RuleFiles, single.RuleFiles) || len(asks.ScrapeConfigs) != len(single.ScrapeConfigs) {
		t.Errorf("the cluster's Prometheus has %v, the stack's %v", asks, single)
	}
	for i, job := range single.ScrapeConfigs {
		if got := asks.ScrapeConfigs[i]; job.JobName != "victoriametrics" && !reflect.DeepEqual(got, job) {
			t.Errorf("the cluster's Prometheus has the job %v, the stack's %v", got, job)
		}
	}
	groups := asks.ScrapeConfigs[len(asks.ScrapeConfigs)-1].StaticConfigs
	for i, tier := range []string{"1s", "1m", "5m", "1h"} {
		group := targets{
			Targets: []string{"storage-" + tier + "-a:8482", "storage-" + tier + "-b:8482", "insert-" + tier + ":8480", "select-" + tier + ":8481"},
			Labels:  map[string]string{"tier": tier},
		}
		if i >= len(groups) || !reflect.DeepEqual(groups[i], group) {
			t.Errorf("the cluster's Prometheus scrapes %v, want %v", groups, group)
		}
		for _, target := range group.Targets {
			if service, _, _ := strings.Cut(target, ":"); file.Services[service].Image == "" {
				t.Errorf("there is no service %s", service)
			}
		}
		variables, err := programs.Environment("../../otel-collector/victoriametrics/" + tier + ".env")
		if err != nil {
			t.Fatal(err)
		}
		retention := ""
		for _, v := range variables {
			if days, ok := strings.CutPrefix(v, "VM_retentionPeriod="); ok {
				retention = "-retentionPeriod=" + days
			}
		}
		has := func(service string, flags ...string) {
			t.Helper()
			command := " " + strings.Join(file.Services[service].Command, " ") + " "
			for _, flag := range flags {
				if !strings.Contains(command, " "+flag+" ") {
					t.Errorf("%s has the flags%s, but not %s", service, command, flag)
				}
			}
		}
		a, b := "storage-"+tier+"-a", "storage-"+tier+"-b"
		has(a, retention)
		has(b, retention)
		has("insert-"+tier, "-replicationFactor=2", "-storageNode="+a+":8400,"+b+":8400")
		has("select-"+tier, "-replicationFactor=2", "-storageNode="+a+":8401,"+b+":8401")
		url := "http://insert-" + tier + ":8480/insert/0"
		if got := file.Services["collector"].Environment["VM_"+strings.ToUpper(tier)]; got != url {
			t.Errorf("the Collector sends tier %s to %v, want %s", tier, got, url)
		}
		asked, _ := file.Services["agent"].Environment["SYSOTEL_STORE_VICTORIAMETRICS"].(string)
		if !strings.Contains(asked, tier+"=http://select-"+tier+":8481/select/0/prometheus") {
			t.Errorf("the agent does not query the cluster for tier %s: %s", tier, asked)
		}
	}
}
