package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReferences: any value of a file, a variable or a flag may contain the value of a
// variable or the content of a file. What looks like a reference and is none is refused,
// except in texts in a language of their own.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SYSOTEL_TEST_HOST", "web1")
	t.Setenv("SYSOTEL_TEST_NUMBER", "7")
	file := filepath.Join(dir, "sysotel.yaml")
	text := `
host: {name: "${env:SYSOTEL_TEST_HOST}.example"}
otlp: {endpoint: "http://${env:SYSOTEL_TEST_HOST}:4317", headers: {authorization: "Bearer ${file:token}"}}
resource: {attributes: {site: "${file:site}", price: "5 $ $${x}"}}
processes: {top: "${env:SYSOTEL_TEST_NUMBER}"}
sampling: {interval: "${env:SYSOTEL_TEST_NUMBER}s"}
rate_limit: {enabled: "${file:switch}"}
http: {cors: ["https://${env:SYSOTEL_TEST_HOST}.example"]}
custom: {commands: [{name: c, command: [/bin/sh, -c, "echo ${HOME} ${env:SYSOTEL_TEST_HOST}"]}]}
alerting:
  thresholds: [{name: T, expr: 'label_replace(up{job="${env:SYSOTEL_TEST_HOST}"}, "a", "${1}", "b", "(.*)")', op: ">", threshold: 1, summary: "${x}"}]
`
	write := func(name, content string) error {
		return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)
	}
	if err := errors.Join(write("sysotel.yaml", text), write("token", "topsecret\n"), write("site", "north\n"), write("switch", "false")); err != nil {
		t.Fatal(err)
	}
	c := load(t, Options{Path: file, Env: home(), Args: []string{"--data-dir=/srv/${env:SYSOTEL_TEST_HOST}", "--log.level=debug"}})
	command := c.Instruments.Custom.Commands[0].Command
	rule := c.Alerting.Rules.Thresholds[0]
	for name, pair := range map[string][2]string{
		"host.name":           {c.Instruments.Host.Name, "web1.example"},
		"otlp.endpoint":       {c.Export.OTLP.Endpoint, "http://web1:4317"},
		"otlp.headers":        {string(c.Export.OTLP.Headers["authorization"]), "Bearer ${file:" + filepath.Join(dir, "token") + "}"},
		"resource.attributes": {c.Export.Resource.Attributes["site"] + " " + c.Export.Resource.Attributes["price"], "north 5 $ ${x}"},
		"http.cors":           {c.API.HTTP.CORS[0], "https://web1.example"},
		"custom.commands":     {command[2], "echo ${HOME} web1"},
		"expr":                {rule.Expr, `label_replace(up{job="web1"}, "a", "${1}", "b", "(.*)")`},
		"summary":             {rule.Summary, "${x}"},
		"data_dir":            {c.DataDir, "/srv/web1"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %q, want %q", name, pair[0], pair[1])
		}
	}
	if c.Instruments.Processes.Top != 7 || c.Sampling.Interval != 7*time.Second || c.API.RateLimit.Enabled {
		t.Errorf("top %d, interval %s, rate limit %t", c.Instruments.Processes.Top, c.Sampling.Interval, c.API.RateLimit.Enabled)
	}
	// What other programs would replace is used as it stands, with a warning.
	t.Setenv("SYSOTEL_TEST_TOKEN", "topsecret")
	if err := write("sysotel.yaml", `
otlp: {endpoint: "http://a:4317", headers: {authorization: "Bearer $SYSOTEL_TEST_TOKEN", other: "pa$$w0rd"}}
custom: {commands: [{name: c, command: [/bin/sh, -c, "echo $SYSOTEL_TEST_TOKEN"]}]}
alerting:
  channels: [{name: pager, receiver: {pagerduty_configs: [{routing_key: "%SYSOTEL_TEST_TOKEN%"}]}}]
`); err != nil {
		t.Fatal(err)
	}
	warned := load(t, Options{Path: file, Env: home()}).Warnings()
	const mentions = " mentions the variable SYSOTEL_TEST_TOKEN in a notation that is not replaced here; write ${env:SYSOTEL_TEST_TOKEN} for its value"
	if got, want := strings.Join(warned, "\n"), "otlp.headers.authorization"+mentions+"\nalerting.channels[0].receiver: routing_key"+mentions; got != want {
		t.Errorf("the warnings are\n%s\nwant\n%s", got, want)
	}
	for text, want := range map[string]string{
		`host: {name: "${HOSTNAME}"}`:                                        "host.name: ${HOSTNAME} is not allowed: must be ${file:PATH} or ${env:NAME} where it has ${",
		`host: {name: "${env:SYSOTEL_TEST_NONE}"}`:                           "the variable SYSOTEL_TEST_NONE is not set",
		`otlp: {endpoint: "http://${file:none}:4317"}`:                       "none: no such file",
		`resource: {attributes: {a: "${ENV:X}"}}`:                            "must be ${file:PATH} or ${env:NAME}",
		`processes: {top: "${env:SYSOTEL_TEST_HOST}"}`:                       "must be a whole number",
		`otlp: {endpoint: "http://a:4317", headers: {a: "Bearer ${TOKEN}"}}`: "otlp.headers.a: <secret> is not allowed: must be ${file:PATH} or ${env:NAME}",
	} {
		if err := write("sysotel.yaml", text+"\n"); err != nil {
			t.Fatal(err)
		}
		_, invalid := Load(Options{Path: file, Env: home()})
		found := lines(invalid)
		if !strings.Contains(found, want) {
			t.Errorf("%s: %s\nwant %s", text, found, want)
		}
	}
}
