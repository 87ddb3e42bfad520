package export

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sysotel/agent/secret"
	"sysotel/agent/store"
)

// Config is where the readings go. Its keys stand at the top level of sysotel.yaml.
type Config struct {
	Prometheus PrometheusConfig `yaml:"prometheus" help:"The page that Prometheus scrapes."`
	OTLP       OTLPConfig       `yaml:"otlp" help:"Push over OTLP/gRPC to a Collector or another backend."`
	Resource   ResourceConfig   `yaml:"resource" help:"OpenTelemetry resource of the metrics."`
}

// PrometheusConfig is the scrape page.
type PrometheusConfig struct {
	Listen       string       `yaml:"listen" help:"Address of the scrape page; empty for none."`
	WebConfig    string       `yaml:"web_config" path:"file" help:"Prometheus web configuration file of the scrape page, with tls_server_config, basic_auth_users and others; empty for neither TLS nor password. Changes apply at once; only rate_limit, http2 and turning TLS on or off need a restart. A changed file that cannot be used leaves the previous one in force."`
	Insecure     bool         `yaml:"insecure" help:"Whether the scrape page may be open to the network without TLS and password."`
	NodeExporter NodeExporter `yaml:"node_exporter" enum:"false|true|full" help:"Names of node_exporter that the page has too: with true a few, for the rules and dashboards of an earlier agent; with full all of its default collectors, as node_exporter has them, so that its dashboards and rules go on. Queries of the API know them in any case."`
	Jobs         []string     `yaml:"jobs" help:"Values of the label job that rules and queries may ask for, as if a Prometheus had scraped this agent; where they ask for none, it is the first. Series have job and instance in expressions that name one of them. Empty for no such labels."`
	Instance     string       `yaml:"instance" help:"Value of the label instance then, for this machine; empty for host.name with the port of listen."`
}

// NodeExporter is which names of node_exporter the page has.
type NodeExporter string

// The choices of names: none, the legacy names, and those and all of node_exporter.
const (
	NoNodeNames     NodeExporter = "false"
	LegacyNodeNames NodeExporter = "true"
	AllNodeNames    NodeExporter = "full"
)

// legacy reports whether the page has the legacy names.
func (n NodeExporter) legacy() bool { return n == LegacyNodeNames || n == AllNodeNames }

// MarshalYAML implements yaml.Marshaler: false and true are written as what they were.
func (n NodeExporter) MarshalYAML() (any, error) {
	if n == NoNodeNames || n == LegacyNodeNames {
		return n == LegacyNodeNames, nil
	}
	return string(n), nil
}

// Scraped returns what the label instance of a machine is.
func (c PrometheusConfig) Scraped(own string) func(host string) string {
	_, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		port = defaultPort
	}
	return func(host string) string {
		if host == own && c.Instance != "" {
			return c.Instance
		}
		return net.JoinHostPort(host, port)
	}
}

// defaultPort is the port of the scrape page.
const defaultPort = "9100"

// OTLPConfig is the push.
type OTLPConfig struct {
	Endpoint    string                 `yaml:"endpoint" help:"Where to push: http://HOST:PORT without TLS, https://HOST:PORT with TLS; empty for no push."`
	Interval    time.Duration          `yaml:"interval" help:"Time between two requests, a multiple of sampling.interval; 0s means sampling.interval. A request contains every reading since the last."`
	Tiered      bool                   `yaml:"tiered" help:"Whether to send the closed buckets of the coarser tiers of store.tiers too, each tier in its own requests. The resource is then only host.name and tier (1s, 1m, …). Only for a receiver that separates the tiers, such as the bundled Collector: others would store each value several times."`
	Temporality string                 `yaml:"temporality" enum:"cumulative|delta" help:"Whether sums are totals or differences."`
	Headers     map[string]secret.Text `yaml:"headers" help:"Headers of every request, such as an API key. They are secret; a value may contain ${file:PATH} and ${env:NAME}. Files are read again when they change."`
	Compression string                 `yaml:"compression" enum:"gzip|none" help:"Compression of the requests."`
	Timeout     time.Duration          `yaml:"timeout" help:"Timeout of a request, which is then retried."`
	Ordered     bool                   `yaml:"ordered" help:"Whether to send requests strictly in order, for backends that refuse older data. Otherwise new readings are sent at most two seconds late while older ones wait."`
	Queue       QueueConfig            `yaml:"queue" help:"Requests that wait on disk while the receiver is unavailable."`
	TLS         TLSConfig              `yaml:"tls" help:"TLS of the push, for an https endpoint. The files are read again when they change, without a restart; files that cannot be used leave the previous ones in use."`
}

// QueueConfig bounds what waits for the receiver.
type QueueConfig struct {
	MaxBytes store.ByteSize `yaml:"max_bytes" help:"Maximum size, compressed, of all tiers together; the oldest requests are dropped first. At least 1MiB."`
	MaxAge   time.Duration  `yaml:"max_age" help:"Age at which a request is dropped, from 1m to 720h."`
}

// TLSConfig is the client's side of TLS.
type TLSConfig struct {
	CA                 string `yaml:"ca" path:"file" help:"File with the CA certificates to trust instead of the system's."`
	Cert               string `yaml:"cert" path:"file" help:"File with the client certificate."`
	Key                string `yaml:"key" path:"file" help:"File with the key of the client certificate."`
	ServerName         string `yaml:"server_name" help:"Name that the server's certificate must have, if it is not the host of the endpoint."`
	InsecureSkipVerify bool   `yaml:"insecure_skip_verify" help:"Whether to accept any certificate; then others on the network can read and change what is sent."`
}

// option is the option that an error about one of the files is about.
func (c TLSConfig) option(err error) string {
	for name, file := range map[string]string{"otlp.tls.ca": c.CA, "otlp.tls.cert": c.Cert, "otlp.tls.key": c.Key} {
		if file != "" && strings.Contains(err.Error(), file) {
			return name
		}
	}
	return "otlp.tls"
}

// ResourceConfig is what is known of the machine besides its metrics.
type ResourceConfig struct {
	ServiceName string            `yaml:"service_name" help:"The attribute service.name."`
	Attributes  map[string]string `yaml:"attributes" help:"More attributes, such as deployment.environment.name: production."`
}

// Defaults is the configuration of which nothing was said.
func Defaults() Config {
	return Config{
		Prometheus: PrometheusConfig{Listen: "127.0.0.1:" + defaultPort, NodeExporter: LegacyNodeNames, Jobs: []string{"sysotel", "node", "node-exporter", "node_exporter"}},
		OTLP:       OTLPConfig{Temporality: "cumulative", Compression: "gzip", Timeout: 10 * time.Second, Queue: QueueConfig{MaxBytes: 512 << 20, MaxAge: 24 * time.Hour}},
		Resource:   ResourceConfig{ServiceName: "sysotel"},
	}
}

// Validate calls wrong for every validation error with the path of the option, its
// value and the rule that it breaks; tick is sampling.interval. Package config checks
// the addresses of all listeners.
func (c Config) Validate(tick time.Duration, wrong func(path string, value any, rule string)) {
	if tick >= time.Second && tick <= time.Minute && tick%time.Second == 0 && c.OTLP.Interval%tick != 0 {
		wrong("otlp.interval", c.OTLP.Interval, "must be a multiple of sampling.interval, "+tick.String())
	}
	if c.OTLP.Interval < 0 || c.OTLP.Interval > time.Hour {
		wrong("otlp.interval", c.OTLP.Interval, "must be from 0s to 1h")
	}
	if len(c.Prometheus.Jobs) > maxJobs {
		wrong("prometheus.jobs", len(c.Prometheus.Jobs), fmt.Sprintf("must be at most %d", maxJobs))
	}
	for i, job := range c.Prometheus.Jobs {
		if job == "" || !utf8.ValidString(job) || slices.Index(c.Prometheus.Jobs, job) < i {
			wrong(fmt.Sprintf("prometheus.jobs[%d]", i), job, "must be a name that is not there twice")
		}
	}
	c.OTLP.validate(wrong)
	c.Resource.validate(wrong)
}

// maxJobs bounds the jobs: each selector is held against all.
const maxJobs = 100

func (c OTLPConfig) validate(wrong func(path string, value any, rule string)) {
	if c.Endpoint != "" && !isEndpoint(c.Endpoint) {
		wrong("otlp.endpoint", secret.WithoutPassword(c.Endpoint), "must be http://HOST:PORT (without TLS) or https://HOST:PORT (with TLS), such as http://localhost:4317; a password goes into otlp.headers")
	}
	if c.Timeout < time.Millisecond || c.Timeout > 10*time.Minute {
		wrong("otlp.timeout", c.Timeout, "must be from 1ms to 10m")
	}
	if c.Tiered && c.Temporality == "delta" {
		wrong("otlp.temporality", c.Temporality, "must be cumulative where otlp.tiered is true: the tiers hold totals")
	}
	if c.Queue.MaxBytes < 1<<20 {
		wrong("otlp.queue.max_bytes", c.Queue.MaxBytes, "must be at least 1MiB")
	}
	if c.Queue.MaxAge < time.Minute || c.Queue.MaxAge > 30*24*time.Hour {
		wrong("otlp.queue.max_age", c.Queue.MaxAge, "must be from 1m to 720h")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if !isHeaderName(name) {
			wrong("otlp.headers."+name, name, "the name of a header is of letters, digits, -, _ and .")
		}
		if _, err := c.Headers[name].Open(checkHeaderValue, nil); err != nil {
			wrong("otlp.headers."+name, c.Headers[name], err.Error())
		}
	}
	if c.TLS.Cert != "" && c.TLS.Key == "" {
		wrong("otlp.tls.cert", c.TLS.Cert, "needs its key in otlp.tls.key")
	}
	if c.TLS.Key != "" && c.TLS.Cert == "" {
		wrong("otlp.tls.key", c.TLS.Key, "needs its certificate in otlp.tls.cert")
	}
	if c.TLS != (TLSConfig{}) && strings.HasPrefix(c.Endpoint, "http://") {
		wrong("otlp.endpoint", secret.WithoutPassword(c.Endpoint), "must begin with https:// where otlp.tls is set; over http:// it does nothing")
	}
}

func (c ResourceConfig) validate(wrong func(path string, value any, rule string)) {
	if c.ServiceName == "" {
		wrong("resource.service_name", c.ServiceName, "must not be empty")
	}
	// Two places for one attribute would leave open which of them wins.
	if value, ok := c.Attributes["service.name"]; ok {
		wrong("resource.attributes.service.name", value, "is set with resource.service_name")
	}
	if value, ok := c.Attributes["host.name"]; ok {
		wrong("resource.attributes.host.name", value, "is set with host.name")
	}
	if _, ok := c.Attributes[""]; ok {
		wrong("resource.attributes", "", "an attribute needs a name")
	}
}

// isEndpoint reports whether s is the address of a server and nothing else.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Port() != "" &&
		u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
}

// isHeaderName reports whether gRPC accepts s as the name of a header.
func isHeaderName(s string) bool {
	return s != "" && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-_.") == ""
}

// isHeaderValue reports whether gRPC accepts s as the value of a header.
func isHeaderValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// isTLS reports whether an endpoint uses TLS.
func isTLS(endpoint string) bool { return strings.HasPrefix(endpoint, "https://") }
