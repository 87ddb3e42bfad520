package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startAlertmanager starts Debian's Alertmanager and returns its address.
func startAlertmanager(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("CI must have prometheus-alertmanager: see .ci/run")
		}
		t.Skip("needs prometheus-alertmanager: apt-get install prometheus-alertmanager")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.path="+dir,
		"--web.listen-address="+address, "--cluster.listen-address=")
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // It was killed.
	})
	ready := make(chan bool)
	go func() {
		defer close(ready)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "Listening on") {
				ready <- true
			}
		}
	}()
	if !<-ready {
		t.Fatal("the Alertmanager ended")
	}
	go func() {
		for range ready { // Its log is read to the end.
		}
	}()
	return "http://" + address
}

// foreignAlert is an alert of the Alertmanager's API.
type foreignAlert struct {
	Labels, Annotations map[string]string
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
	Status              struct{ State string }
}

// alertsOf gets the alerts of an Alertmanager.
func alertsOf(t *testing.T, address string) (all []foreignAlert) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/api/v2/alerts", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAlertmanager: a real one accepts alerts, hostile names included, and their
// recoveries, and recognizes the same alert.
func TestAlertmanager(t *testing.T) {
	address := startAlertmanager(t)
	a, err := newAlertmanager(AlertmanagerConfig{URLs: []string{address}}, address)
	if err != nil {
		t.Fatal(err)
	}
	a.poster.tidyUp(t)
	now := time.Now()
	alert, end, bad := firing("HighCPU"), resolved("HighCPU"), hostileNotice()
	alert.Since, bad.Since, end.Since, end.Ended = now.Add(-time.Minute), now, now.Add(-time.Minute), now
	if err := sendBy(t, a, alert, bad); err != nil {
		t.Fatal(err)
	}
	all := alertsOf(t, address)
	if len(all) != 2 {
		t.Fatalf("it has the alerts %v", all)
	}
	for _, one := range all {
		if one.Labels["alertname"] != "HighCPU" {
			continue
		}
		want(t, "the labels", one.Labels, map[string]string{"alertname": "HighCPU", "device": "sda", "host_name": "web1", "severity": "warning"})
		want(t, "the value", one.Annotations["value"], "93.4 %")
		want(t, "the link", one.GeneratorURL, alert.Link)
		if d := time.Until(one.EndsAt); d < 4*time.Minute || d > 6*time.Minute {
			t.Errorf("it ends in %s", d)
		}
	}
	if err := sendBy(t, a, end); err != nil {
		t.Fatal(err)
	}
	if all = alertsOf(t, address); len(all) != 1 || all[0].Labels["alertname"] == "HighCPU" {
		t.Errorf("after the recovery it has the alerts %v", all)
	}
}

// TestAlertmanagerGetsEverything: alerts for other channels too, repeatedly while
// they are active, also after a restart.
func TestAlertmanagerGetsEverything(t *testing.T) {
	web, dir := startWeb(t), t.TempDir()
	make1 := func() *Notifier {
		n := openReal(t, dir, func(c *Config) { c.Alertmanagers.URLs = []string{web.URL + "/prefix/"} })
		n.queues[1].sender.(*alertmanager).poster.tidyUp(t)
		return n
	}
	n := make1()
	one := firing("a")
	one.Channels = []string{"log"}
	deliver(t, n, one, firing("b"), resolved("b"))
	for n.queues[1].step(t.Context()) < idle { // Until nothing waits.
	}
	want(t, "the number of posts", len(web.bodies), 2)
	want(t, "the channel", n.Channels()[1].Name, "alertmanager "+web.URL+"/prefix/")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	n = make1()
	n.queues[1].resendOnce(context.Background())
	var got []postableAlert
	web.body(t, &got)
	if len(got) != 1 || got[0].Labels["alertname"] != "a" || fmt.Sprint(got[0].EndsAt.After(time.Now())) != "true" {
		t.Errorf("it received %v", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}
