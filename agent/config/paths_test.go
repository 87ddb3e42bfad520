package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestRelativePaths: relative paths start from the file that names them, wherever one
// stands; those of flags and variables from the working directory, as in a shell.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules/a.yml", "groups: []\n")
	write("token", "topsecret\n")
	write("web.yml", "{}\n")
	write("sysotel.yaml", `
data_dir: data
log: {file: agent.log}
prometheus: {web_config: web.yml}
custom:
  textfile: [texts, /abs]
  commands:
    - {name: own, command: [bin/own, ./arg]}
    - {name: found, command: [df, -h]}
otlp: {endpoint: "https://localhost:4317", headers: {authorization: "Bearer ${file:token} ${env:HOME}"}, tls: {ca: tls/ca.pem}}
alerting:
  rules: [rules/*.yml, none/*.yml]
  log_directories: [logs]
  channels:
    - {name: hook, webhook: {url: "${file:token}", headers: {x: "${file:token}"}}}
    - {name: own, log: {file: own.log}}
    - {name: pager, receiver: {pagerduty_configs: [{routing_key_file: token, http_config: {authorization: {credentials_file: /abs/token}}}]}}
`)
	c, invalid := Load(Options{Path: filepath.Join(dir, "sysotel.yaml"), Env: home("SYSOTEL_TLS_CERT_FILE=cert.pem"), Args: []string{"--tls.key-file=key.pem"}})
	for _, w := range invalid {
		// Certificates and the text of the token are not what this test is about; its log
		// directory has to be absolute by now.
		if !strings.HasPrefix(w.Path, "tls.") && w.Path != "alerting.channels[0].webhook.url" {
			t.Errorf("%s", w)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	for got, want := range map[string]string{
		c.DataDir: in("data"), c.Log.File: in("agent.log"), c.Export.Prometheus.WebConfig: in("web.yml"),
		strings.Join(c.Instruments.Custom.Textfile, " "):            in("texts") + " /abs",
		strings.Join(c.Instruments.Custom.Commands[0].Command, " "): in("bin/own") + " ./arg",
		strings.Join(c.Instruments.Custom.Commands[1].Command, " "): "df -h",
		string(c.Export.OTLP.Headers["authorization"]):              "Bearer ${file:" + in("token") + "} ${env:HOME}",
		c.Export.OTLP.TLS.CA:                                       in("tls/ca.pem"),
		strings.Join(c.Alerting.Rules.Rules, " "):                  in("rules/*.yml") + " " + in("none/*.yml"),
		strings.Join(c.Alerting.Notify.LogDirs, " "):               in("logs"),
		string(c.Alerting.Notify.Channels[0].Webhook.URL):          "${file:" + in("token") + "}",
		string(c.Alerting.Notify.Channels[0].Webhook.Headers["x"]): "${file:" + in("token") + "}",
		c.Alerting.Notify.Channels[1].Log.File:                     "own.log",
		c.API.TLS.CertFile:                                         "cert.pem",
		c.API.TLS.KeyFile:                                          "key.pem",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if pager := string(c.Alerting.Notify.Channels[2].Receiver); !strings.Contains(pager, "routing_key_file: "+in("token")) || !strings.Contains(pager, "credentials_file: /abs/token") {
		t.Errorf("the receiver is\n%s", pager)
	}
}

// TestEveryPathIsLocated: an option that names a file or a directory says so in its tag, so
// that a relative one starts from the file that names it.
func TestEveryPathIsLocated(t *testing.T) {
	names := regexp.MustCompile(`(?i)\b(file|files|directory|directories)\b`)
	// These mention files and are no paths of the configuration.
	others := map[string]bool{
		"alerting.defaults": true, "instruments.include": true, "tls.self_signed": true, "store.max_bytes": true, "store.backend": true, "otlp.tls": true,
		"alerting.channels[].log.file": true, // In the data directory.
	}
	var walk func(t *testing.T, of reflect.Type, path string)
	walk = func(t *testing.T, of reflect.Type, path string) {
		for _, f := range fields(of) {
			at := join(path, f.key)
			element := f.Type
			for element.Kind() == reflect.Slice || element.Kind() == reflect.Map {
				element = element.Elem()
			}
			if element.Kind() == reflect.Struct {
				suffix := ""
				if f.Type.Kind() == reflect.Slice {
					suffix = "[]"
				}
				walk(t, element, at+suffix)
				continue
			}
			isLocated := reflect.PointerTo(element).Implements(reflect.TypeFor[located]())
			if element.Kind() == reflect.String && names.MatchString(f.help()) && f.Tag.Get("path") == "" && !isLocated && !others[at] {
				t.Errorf(`%s may name a file (%s): give its field the tag path:"file", or list it here`, at, f.help())
			}
		}
	}
	walk(t, reflect.TypeFor[Config](), "")
}
