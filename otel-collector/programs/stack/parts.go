package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"sysotel/otel-collector/programs"
)

// part is one program of the stack.
type part struct {
	name    string
	command []string
	// env is added to this process' environment.
	env []string
	// listens are its addresses, which must be free.
	listens []string
	// ready is a URL that responds with 2xx once the part is ready.
	ready string
	// look says where to find the part.
	look string
	// stage is when it starts: parts of a stage start together, once all earlier stages
	// are ready.
	stage int
}

// tiers are the tiers of the stack, with the ports of their nodes.
var tiers = []struct {
	name string
	port int
}{{"1s", 8428}, {"1m", 8429}, {"5m", 8430}, {"1h", 8431}}

// at returns a loopback address with the shifted port.
func (s *stack) at(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+s.shift))
}

// parts lists the stack's programs, and writes the configurations that depend on the
// ports. Paths are relative to the root.
func (s *stack) parts(tools map[string]string) ([]part, error) {
	var parts []part
	var nodes, urls []string // of the Collector and of the agent
	data := filepath.Join(s.folder, "data")
	for _, t := range tiers {
		env, err := programs.Environment(
			filepath.Join(s.root, "otel-collector", "victoriametrics", "all.env"),
			filepath.Join(s.root, "otel-collector", "victoriametrics", t.name+".env"),
		)
		if err != nil {
			return nil, err
		}
		listen := s.at(t.port)
		nodes = append(nodes, "VM_"+strings.ToUpper(t.name)+"=http://"+listen)
		urls = append(urls, t.name+"=http://"+listen)
		parts = append(parts, part{
			name: "vm-" + t.name, env: env, listens: []string{listen}, ready: "http://" + listen + "/health",
			command: []string{filepath.Join("otel-collector", "victoriametrics", "node.sh"), tools["victoria-metrics"], filepath.Join(data, "vm-"+t.name), listen},
			look:    "http://" + listen + "/vmui",
		})
	}
	health, self := s.at(13133), s.at(8888)
	parts = append(parts, part{
		name: "collector", stage: 1, listens: []string{s.at(4317), s.at(4318), health, self}, ready: "http://" + health,
		command: []string{tools["otelcol"], "--config=" + filepath.Join("otel-collector", "collector.yaml")},
		env: append(
			nodes, "GOMEMLIMIT=80MiB", "COLLECTOR_MEMORY_MIB=200", "COLLECTOR_QUEUE="+filepath.Join(data, "collector"),
			"COLLECTOR_GRPC="+s.at(4317), "COLLECTOR_HTTP="+s.at(4318), "COLLECTOR_HEALTH="+health,
			"COLLECTOR_SELF_HOST=127.0.0.1", "COLLECTOR_SELF_PORT="+strconv.Itoa(8888+s.shift),
		),
		look: "OTLP at " + s.at(4317) + " (gRPC) and " + s.at(4318) + " (HTTP)",
	})
	configuration, err := s.prometheus()
	if err != nil {
		return nil, err
	}
	parts = append(parts, part{
		name: "prometheus", stage: 1, listens: []string{s.at(9090)}, ready: "http://" + s.at(9090) + "/-/ready",
		command: []string{
			tools["prometheus"], "--config.file=" + configuration, "--web.listen-address=" + s.at(9090),
			"--storage.tsdb.path=" + filepath.Join(data, "prometheus"), "--storage.tsdb.retention.time=15d",
		},
		look: "http://" + s.at(9090),
	})
	parts = append(parts, part{
		name: "sysotel", stage: 2, listens: []string{s.at(8080), s.at(9100)}, ready: "http://" + s.at(8080) + "/api/v1/health",
		command: []string{
			s.agent, "run", "--data-dir=" + filepath.Join(data, "sysotel"),
			"--otlp.endpoint=http://" + s.at(4317), "--otlp.tiered=true",
			"--store.backend=victoriametrics", "--store.victoriametrics=" + strings.Join(urls, ","),
			"--http.listen=" + s.at(8080), "--prometheus.listen=" + s.at(9100),
		},
		look: "http://" + s.at(8080),
	})
	return parts, nil
}

// local matches a loopback address in Prometheus' configuration.
var local = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)

// prometheus copies Prometheus' configuration and rule files, shifts the ports of the
// targets, and returns the path of the copy.
func (s *stack) prometheus() (string, error) {
	folder := filepath.Join(s.root, s.folder, "prometheus")
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(s.root, "otel-collector", "prometheus"))); err != nil {
		return "", err
	}
	path := filepath.Join(folder, "prometheus.yml")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text = local.ReplaceAllFunc(text, func(address []byte) []byte {
		port, _ := strconv.Atoi(string(local.FindSubmatch(address)[1]))
		return []byte(s.at(port))
	})
	return filepath.Join(s.folder, "prometheus", "prometheus.yml"), os.WriteFile(path, text, 0o600)
}
