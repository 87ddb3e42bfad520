package packaging

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sysotel/instruments/permissions"
	"sysotel/otel-collector/programs"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	chart    = "kubernetes/chart"
	manifest = "kubernetes/daemonset.yaml"
	// kubernetesVersion is that of the schemas. Helm built from its module believes in 1.20.
	kubernetesVersion = "1.30"
)

// TestManifest: the pods have what the compose file gives the agent, and no more.
func TestManifest(t *testing.T) {
	text, err := os.Open(manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	kinds := map[string]int{}
	for documents := yaml.NewDecoder(text); ; {
		var object struct {
			Kind string
			Spec struct {
				Template struct {
					Spec struct {
						HostPID     bool `yaml:"hostPID"`
						HostNetwork bool `yaml:"hostNetwork"`
						Containers  []struct {
							SecurityContext struct {
								ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
								AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
								Privileged               bool
								Capabilities             struct{ Drop, Add []string }
							} `yaml:"securityContext"`
							VolumeMounts []struct {
								MountPath string `yaml:"mountPath"`
								ReadOnly  bool   `yaml:"readOnly"`
							} `yaml:"volumeMounts"`
						}
					}
				}
			}
		}
		if err := documents.Decode(&object); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds[object.Kind]++
		if object.Kind != "DaemonSet" {
			continue
		}
		pod := object.Spec.Template.Spec
		if len(pod.Containers) != 1 || !pod.HostPID || !pod.HostNetwork {
			t.Fatalf("the pod is %+v", pod)
		}
		s := pod.Containers[0].SecurityContext
		if s.Privileged || !s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || strings.Join(s.Capabilities.Drop, " ") != "ALL" {
			t.Errorf("it has more permissions than it needs: %+v", s)
		}
		if want := strings.Join(services(t)["agent"].CapAdd, " "); strings.Join(s.Capabilities.Add, " ") != want || !strings.Contains(permissions.NeedsRoot, s.Capabilities.Add[0]) {
			t.Errorf("it has the capabilities %v, want %s", s.Capabilities.Add, want)
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if m.MountPath == "/host" && !m.ReadOnly {
				t.Error("it can write to the node")
			}
		}
	}
	if kinds["DaemonSet"] != 1 || kinds["ConfigMap"] != 1 || len(kinds) != 2 {
		t.Errorf("the manifest has %v", kinds)
	}
}

// TestGoldenManifest: the chart is clean, the manifest is what it renders, and Kubernetes
// knows every field, also with all values set.
func TestGoldenManifest(t *testing.T) {
	if os.Getenv("SYSOTEL_TEST_RELEASE") == "" {
		t.Skip("builds Helm, which takes minutes: make releasecheck runs it")
	}
	run := func(name string, args ...string) string {
		t.Helper()
		var errs strings.Builder
		cmd := programs.Command(t, name, args...)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
		}
		return string(out)
	}
	run("helm", "lint", "--strict", chart)
	plain := "# Rendered from the chart beside it:\n#\n#   kubectl create namespace sysotel\n" +
		"#   kubectl label namespace sysotel pod-security.kubernetes.io/enforce=privileged\n#   kubectl -n sysotel apply -f daemonset.yaml\n" +
		run("helm", "template", "sysotel", chart, "--kube-version", kubernetesVersion)
	if *update {
		if err := os.WriteFile(manifest, []byte(plain), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(manifest); err != nil || string(text) != plain {
		t.Errorf("%s is not what the chart renders; run SYSOTEL_TEST_RELEASE=1 make golden (%v)", manifest, err)
	}
	schemas := kubernetesSchemas(t)
	full := filepath.Join(t.TempDir(), "full.yaml")
	all := run("helm", "template", "monitor", chart, "--kube-version", kubernetesVersion, "--set", "config.otlp.endpoint=http://collector:4317", "--set", "env[0].name=A", "--set-string", "env[0].value=1",
		"--set", "priorityClassName=system-node-critical", "--set", "imagePullSecrets[0].name=pull", "--set", "podAnnotations.a=b", "--set", "podLabels.c=d")
	if err := os.WriteFile(full, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	check := []string{"-strict", "-schema-location", schemas + "/{{.ResourceKind}}.json"}
	run("kubeconform", append(check, manifest, full)...)
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte(strings.Replace(all, "hostNetwork:", "hostNetworks:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := programs.Command(t, "kubeconform", append(check, wrong)...).Run(); err == nil {
		t.Error("a field that Kubernetes does not know is accepted")
	}
}

// kubernetesSchemas writes a schema for each kind that the chart has. They come from
// the OpenAPI documents of Kubernetes that kubectl-validate has in its module, and know
// no other fields than those.
func kubernetesSchemas(t *testing.T) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "sigs.k8s.io/kubectl-validate@v0.0.4")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for kind, at := range map[string][2]string{
		"daemonset": {"apis/apps/v1.json", "io.k8s.api.apps.v1.DaemonSet"},
		"configmap": {"api/v1.json", "io.k8s.api.core.v1.ConfigMap"},
	} {
		text, err := os.ReadFile(filepath.Join(module.Dir, "pkg/openapiclient/builtins", kubernetesVersion, at[0]))
		if err != nil {
			t.Fatal(err)
		}
		var document struct {
			Components struct{ Schemas map[string]map[string]any } `json:"components"`
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		for _, s := range document.Components.Schemas {
			if s["properties"] != nil {
				s["additionalProperties"] = false
			}
		}
		schema, err := json.Marshal(map[string]any{
			"$ref":       "#/components/schemas/" + at[1],
			"components": map[string]any{"schemas": document.Components.Schemas},
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, kind+".json"), schema, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
