package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenTelemetryVariables(t *testing.T) {
	f := func(variable, path, want string) {
		t.Helper()
		c := load(t, Options{Env: home(variable)})
		for _, o := range c.options() {
			if o.path == path {
				if got := fmt.Sprint(plain(o)); got != want {
					t.Errorf("%s sets %s to %s, want %s", variable, path, got, want)
				}
			}
		}
		name, _, _ := strings.Cut(variable, "=")
		if got := c.Where(path); want != "" && got != name {
			t.Errorf("%s was set by %q, want %q", path, got, name)
		}
	}
	for _, signal := range []string{"", "METRICS_"} {
		p := "OTEL_EXPORTER_OTLP_" + signal
		f(p+"ENDPOINT=http://collector:4317", "otlp.endpoint", "http://collector:4317")
		f(p+"HEADERS=a=1,%62=x%2Cy%3D+z", "otlp.headers", "map[a:1 b:x,y=+z]")
		f(p+"CERTIFICATE=ca.pem", "otlp.tls.ca", "ca.pem")
		f(p+"COMPRESSION=none", "otlp.compression", "none")
		f(p+"TIMEOUT=1500", "otlp.timeout", "1.5s")
	}
	f("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=Delta", "otlp.temporality", "delta")
	f("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=lowmemory", "otlp.temporality", "cumulative")
	f("OTEL_METRIC_EXPORT_INTERVAL=60000", "otlp.interval", "1m0s")
	f("OTEL_SERVICE_NAME=web", "resource.service_name", "web")
	f("OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test,team=a%20b", "resource.attributes", "map[deployment.environment.name:test team:a b]")
	f("OTEL_RESOURCE_ATTRIBUTES=service.name=web%201", "resource.service_name", "web 1")
	f("OTEL_RESOURCE_ATTRIBUTES=host.name=web1", "host.name", "web1")
}

// plain returns an option's value with secrets in plain text.
func plain(o option) any {
	if !isSecret(o.value.Type()) {
		return o.value.Interface()
	}
	m := map[string]string{}
	for _, key := range o.value.MapKeys() {
		m[key.String()] = o.value.MapIndex(key).String()
	}
	return m
}

func TestClientCertificate(t *testing.T) {
	c := load(t, Options{Env: home("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=c.pem", "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY=c.key")})
	if tls := c.Export.OTLP.TLS; tls.Cert != "c.pem" || tls.Key != "c.key" {
		t.Errorf("got %+v", tls)
	}
}

func TestEmptyVariableIsNone(t *testing.T) {
	c := load(t, Options{Env: home("OTEL_EXPORTER_OTLP_COMPRESSION=", "SYSOTEL_OTLP_COMPRESSION=", "SYSOTEL_WHATEVER=")})
	if got := c.Export.OTLP.Compression; got != "gzip" {
		t.Errorf("got %q", got)
	}
}

func TestServiceNameWins(t *testing.T) {
	c := load(t, Options{Env: home("OTEL_SERVICE_NAME=a", "OTEL_RESOURCE_ATTRIBUTES=service.name=b")})
	if got := c.Export.Resource.ServiceName; got != "a" {
		t.Errorf("got %q", got)
	}
}

func TestWrongVariables(t *testing.T) {
	f := func(variable, want string) {
		t.Helper()
		_, invalid := Load(Options{Env: home(variable)})
		if got := strings.TrimSuffix(lines(invalid), "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", variable, got, want)
		}
	}
	f("SYSOTEL_HTP_LISTEN=127.0.0.1:1", "SYSOTEL_HTP_LISTEN: unknown variable; did you mean SYSOTEL_HTTP_LISTEN? (environment)")
	f("SYSOTEL_WHATEVER_ELSE=1", "SYSOTEL_WHATEVER_ELSE: unknown variable (environment)")
	f("SYSOTEL_CUSTOM_COMMANDS=x", "SYSOTEL_CUSTOM_COMMANDS: unknown variable (environment)")
	f("SYSOTEL_PROCESSES_TOP=all", "processes.top: all is not allowed: must be a whole number (SYSOTEL_PROCESSES_TOP)")
	f("SYSOTEL_PROCESSES_TOP=0", "processes.top: 0 is not allowed: must be from 1 to 200 (SYSOTEL_PROCESSES_TOP)")
	f("SYSOTEL_INSTRUMENTS_DISK_INCLUDE=sd*,kind:nvme*", `instruments.disk.include[1]: kind:nvme* is not allowed: "kind" cannot stand before the colon, only device can; a name with a colon in it is written device:kind:nvme* (SYSOTEL_INSTRUMENTS_DISK_INCLUDE)`)
	f("OTEL_METRIC_EXPORT_INTERVAL=1500", "otlp.interval: 1.5s is not allowed: must be a multiple of sampling.interval, 1s (OTEL_METRIC_EXPORT_INTERVAL)")
	f("OTEL_EXPORTER_OTLP_HEADERS=topsecret", "otlp.headers: must be name=value pairs separated by commas, with %2C for a comma in a value and %25 for a % (OTEL_EXPORTER_OTLP_HEADERS)")
	f("OTEL_EXPORTER_OTLP_HEADERS=a=topsecret%zz", "otlp.headers: must be name=value pairs separated by commas, with %2C for a comma in a value and %25 for a % (OTEL_EXPORTER_OTLP_HEADERS)")
	f("OTEL_EXPORTER_OTLP_HEADERS=a=topsecret%0A", "otlp.headers.a: <secret> is not allowed: the value of a header is of printable ASCII characters (OTEL_EXPORTER_OTLP_HEADERS)")
	f("OTEL_EXPORTER_OTLP_ENDPOINT=https://me:topsecret@c:4317", "otlp.endpoint: https://<secret>@c:4317 is not allowed: must be http://HOST:PORT (without TLS) or https://HOST:PORT (with TLS), such as http://localhost:4317; a password goes into otlp.headers (OTEL_EXPORTER_OTLP_ENDPOINT)")
}

// TestStandardVariables: each does what the specification says, or is named in a warning;
// none but an endpoint that cannot be right keeps the agent from starting.
func TestStandardVariables(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317"
	for _, c := range []struct {
		env      []string
		path     string // An option and its value, "" for none.
		want     string
		warnings []string // What each warning says.
		invalid  string   // The error, "" for none.
	}{
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317/"}, path: "otlp.endpoint", want: "http://c:4317/"},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317/v1/metrics"}, path: "otlp.endpoint", want: "http://c:4317", warnings: []string{"the path in OTEL_EXPORTER_OTLP_ENDPOINT is ignored"}},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317"}, path: "otlp.endpoint", want: "https://c:4317"},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "OTEL_EXPORTER_OTLP_INSECURE=TRUE"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317", "OTEL_EXPORTER_OTLP_INSECURE=true", "OTEL_EXPORTER_OTLP_METRICS_INSECURE=false"}, path: "otlp.endpoint", want: "https://c:4317"},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c:4317", "OTEL_EXPORTER_OTLP_INSECURE=true"}, path: "otlp.endpoint", want: "https://c:4317"},
		{env: []string{endpoint, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://m:4317"}, path: "otlp.endpoint", want: "http://m:4317"},
		{env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://c:1"}, invalid: "otlp.endpoint: ftp://c:1 is not allowed"},

		{env: []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, invalid: "otlp.endpoint: http://c:4317 is not allowed: is for http/protobuf, as OTEL_EXPORTER_OTLP_PROTOCOL says, and the push is over gRPC; set SYSOTEL_OTLP_ENDPOINT to the gRPC port"},
		{env: []string{endpoint, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, invalid: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"},
		{env: []string{endpoint, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{"SYSOTEL_OTLP_ENDPOINT=http://own:4317", endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, path: "otlp.endpoint", want: "http://own:4317", warnings: []string{"OTEL_EXPORTER_OTLP_PROTOCOL is ignored: http/protobuf is not supported"}},
		{env: []string{"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}, path: "otlp.endpoint", want: "", warnings: []string{"OTEL_EXPORTER_OTLP_PROTOCOL is ignored"}},

		{env: []string{endpoint, "OTEL_METRICS_EXPORTER=otlp"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{endpoint, "OTEL_METRICS_EXPORTER=prometheus, otlp"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{endpoint, "OTEL_METRICS_EXPORTER=none"}, path: "otlp.endpoint", want: "", warnings: []string{"OTEL_EXPORTER_OTLP_ENDPOINT is not used, because OTEL_METRICS_EXPORTER is none"}},
		{env: []string{endpoint, "OTEL_METRICS_EXPORTER=prometheus"}, path: "otlp.endpoint", want: "", warnings: []string{"because OTEL_METRICS_EXPORTER is prometheus"}},
		{env: []string{endpoint, "OTEL_SDK_DISABLED=True"}, path: "otlp.endpoint", want: "", warnings: []string{"because OTEL_SDK_DISABLED is true"}},
		{env: []string{endpoint, "OTEL_SDK_DISABLED=false"}, path: "otlp.endpoint", want: "http://c:4317"},
		{env: []string{"SYSOTEL_OTLP_ENDPOINT=http://own:4317", "OTEL_SDK_DISABLED=true"}, path: "otlp.endpoint", want: "http://own:4317"},

		{env: []string{"OTEL_EXPORTER_OTLP_COMPRESSION=zstd"}, path: "otlp.compression", want: "gzip", warnings: []string{"OTEL_EXPORTER_OTLP_COMPRESSION is ignored: zstd is not allowed: must be"}},
		{env: []string{"OTEL_EXPORTER_OTLP_TIMEOUT=10s"}, path: "otlp.timeout", want: "10s", warnings: []string{"OTEL_EXPORTER_OTLP_TIMEOUT is ignored: 10s is not allowed: must be a whole number of milliseconds"}},
		{env: []string{"OTEL_METRIC_EXPORT_INTERVAL=1s"}, path: "otlp.interval", want: "0s", warnings: []string{"OTEL_METRIC_EXPORT_INTERVAL is ignored: 1s is not allowed"}},
		{env: []string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=sometimes"}, path: "otlp.temporality", want: "cumulative", warnings: []string{"PREFERENCE is ignored: sometimes is not allowed"}},

		{env: []string{"OTEL_RESOURCE_ATTRIBUTES=a=b,bad"}, path: "resource.attributes", want: "map[]", warnings: []string{"OTEL_RESOURCE_ATTRIBUTES is ignored: bad is not allowed"}},
		{env: []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=x,a=%zz"}, path: "resource.service_name", want: "sysotel", warnings: []string{"OTEL_RESOURCE_ATTRIBUTES is ignored: a=%zz is not allowed"}},
		{env: []string{"OTEL_RESOURCE_ATTRIBUTES=empty=,"}, path: "resource.attributes", want: "map[empty:]"},

		{env: []string{"OTEL_TRACES_SAMPLER=always_on", "OTEL_METRIC_EXPORT_TIMEOUT=1", "OTEL_LOG_LEVEL=debug", "OTEL_CONFIG_FILE=/x", "OTEL_NEW\x1b[31m=1"},
			warnings: []string{"these standard variables do nothing here: OTEL_CONFIG_FILE, OTEL_LOG_LEVEL, OTEL_METRIC_EXPORT_TIMEOUT, OTEL_NEW\ufffd[31m, OTEL_TRACES_SAMPLER"}},
	} {
		loaded, invalid := Load(Options{Env: home(c.env...)})
		if got := lines(invalid); c.invalid == "" && got != "" || !strings.Contains(got, c.invalid) {
			t.Errorf("%s: errors %q, want %q", c.env, got, c.invalid)
		}
		for _, o := range loaded.options() {
			if o.path == c.path && fmt.Sprint(plain(o)) != c.want {
				t.Errorf("%s: %s is %v, want %s", c.env, c.path, plain(o), c.want)
			}
		}
		if len(loaded.Warnings()) != len(c.warnings) {
			t.Errorf("%s: warnings %q, want %q", c.env, loaded.Warnings(), c.warnings)
			continue
		}
		for i, want := range c.warnings {
			if got := loaded.Warnings()[i]; !strings.Contains(got, want) {
				t.Errorf("%s: warning %q, want %q", c.env, got, want)
			}
		}
	}
	var many []string
	for n := range 1000 {
		many = append(many, fmt.Sprintf("OTEL_X%d=1", n))
	}
	c := load(t, Options{Env: home(many...)})
	if w := c.Warnings(); len(w) != 1 || len(w[0]) > 500 || !strings.HasSuffix(w[0], "and 980 more") {
		t.Errorf("of 1000 variables: %q", w)
	}
}

// TestServiceLinks: Kubernetes and Docker set these variables in every container.
// TestNoPushOverridesTheFile: the standard variables override the file, also where they say
// that nothing is pushed; our own override them.
func TestNoPushOverridesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	if err := os.WriteFile(file, []byte("otlp: {endpoint: \"http://c:4317\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"OTEL_SDK_DISABLED=true", "OTEL_METRICS_EXPORTER=none"} {
		c := load(t, Options{Path: file, Env: home(variable)})
		if warned := strings.Join(c.Warnings(), "\n"); c.Export.OTLP.Endpoint != "" || !strings.Contains(warned, file+" line 1) is not used, because "+variable[:strings.IndexByte(variable, '=')]) {
			t.Errorf("with %s the endpoint is %q, and the warnings are %s", variable, c.Export.OTLP.Endpoint, warned)
		}
		c = load(t, Options{Path: file, Env: home(variable, "SYSOTEL_OTLP_ENDPOINT=http://own:4317")})
		if c.Export.OTLP.Endpoint != "http://own:4317" {
			t.Errorf("with %s our own variable gives %q", variable, c.Export.OTLP.Endpoint)
		}
	}
	if c := load(t, Options{Path: file, Env: home("OTEL_SDK_DISABLED=false", "OTEL_METRICS_EXPORTER=otlp")}); c.Export.OTLP.Endpoint != "http://c:4317" {
		t.Errorf("the endpoint is %q", c.Export.OTLP.Endpoint)
	}
}

func TestServiceLinks(t *testing.T) {
	load(t, Options{Env: home("SYSOTEL_SERVICE_HOST=10.0.0.1", "SYSOTEL_SERVICE_PORT=8080", "SYSOTEL_SERVICE_PORT_HTTP=8080",
		"SYSOTEL_PORT=tcp://10.0.0.1:8080", "SYSOTEL_PORT_8080_TCP=tcp://10.0.0.1:8080", "SYSOTEL_PORT_8080_TCP_ADDR=10.0.0.1",
		"SYSOTEL_WEB_SERVICE_HOST=10.0.0.1")})
	for _, o := range Defaults().options() {
		if isServiceLink(o.variable()) {
			t.Errorf("%s has the form of a service's variable", o.variable())
		}
	}
}
