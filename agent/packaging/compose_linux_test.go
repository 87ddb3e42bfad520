package packaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// project is the name of the stack in Docker.
const project = "sysotel"

// maxImage is the maximum size of the agent's image, in bytes.
const maxImage = 60e6

// TestCompose starts the stack as a user does, with the real programs in real
// containers, except for a fake Grafana.
func TestCompose(t *testing.T) {
	began := time.Now()
	phase := func(done string) {
		t.Logf("%s %s", time.Since(began).Round(time.Second), done)
	}
	d := startDocker(t, "")
	phase("Docker runs")
	agent := buildAgent(t)
	phase("the agent is built")
	for _, i := range images(t, agent) {
		d.load(i)
	}
	phase("the base images are made")
	d.compose("config", "-q")
	d.compose("build", "agent", "collector")
	phase("the images are built")
	if size := d.number("docker", "image", "inspect", "--format", "{{.Size}}", "sysotel/agent"); size > maxImage {
		t.Errorf("the agent's image has %.1f MB, want at most %.0f", size/1e6, maxImage/1e6)
	} else {
		t.Logf("the agent's image has %.1f MB", size/1e6)
	}

	s := &composed{docker: d, http: d.client()}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := d.try("docker-compose", "logs", "--no-color", "--tail=40")
			t.Logf("the logs of the containers:\n%s", out)
		}
	})
	s.up()
	phase("all services are healthy")
	s.checkAccess()
	s.checkHost()
	first := s.firstSecond()
	await(t, 100*time.Second, "the tiers do not fill", s.filled)
	s.checkTargets()
	phase("the tiers have data")
	t.Logf("memory:\n%s", d.run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"))

	// down removes all but the volumes; up restores everything.
	var end time.Time
	var before []int
	await(t, 30*time.Second, "not all tiers have a point that is 10 s old", func() error {
		end, before = time.Now().Add(-10*time.Second).Truncate(time.Second), nil
		for _, tier := range tiers {
			n := s.kept(tier, first, end)
			if n == 0 {
				return errors.New(tier)
			}
			before = append(before, n)
		}
		return nil
	})
	s.checkAnswer(first, end)
	d.compose("down")
	if left := strings.TrimSpace(d.run("docker", "ps", "--all", "--quiet")); left != "" {
		t.Errorf("down left containers: %s", left)
	}
	phase("all services are down")
	token := s.token
	s.up()
	phase("all services are up again")
	if s.token != token {
		t.Error("the token changed after down and up")
	}
	for i, tier := range tiers {
		if after := s.kept(tier, first, end); after < before[i] || after == 0 {
			t.Errorf("tier %s had %d points before down, %d after up", tier, before[i], after)
		}
	}
	s.checkAnswer(first, end)
	await(t, 30*time.Second, "no new readings", func() error {
		if n := s.kept("1s", end, time.Now()); n < 5 {
			return fmt.Errorf("%d points", n)
		}
		return nil
	})
	s.checkTargets()
	phase("new readings arrive")
}

// composed is the running stack.
type composed struct {
	*docker
	http *http.Client
	// token is the token of Grafana and Prometheus.
	token string
}

// up starts everything and waits until it is healthy.
func (s *composed) up() {
	s.tb.Helper()
	s.compose("up", "--detach", "--no-build")
	await(s.tb, 60*time.Second, "not all services are healthy", func() error {
		for line := range strings.Lines(s.run("docker", "ps", "--all", "--format", "{{.Names}} {{.Status}}")) {
			if !strings.Contains(line, "(healthy)") && !strings.Contains(line, "Exited (0)") {
				return errors.New(line)
			}
		}
		return nil
	})
	s.token = s.compose("exec", "-T", "prometheus", "cat", "/run/sysotel/token")
}

// checkAccess checks what is published, and who has access.
func (s *composed) checkAccess() {
	s.tb.Helper()
	for line := range strings.Lines(s.run("docker", "ps", "--format", "{{.Names}} {{.Ports}}")) {
		name, ports, _ := strings.Cut(strings.TrimSpace(line), " ")
		open := strings.Contains(name, "agent") || strings.Contains(name, "grafana")
		if published := strings.Contains(ports, "->"); published != open {
			s.tb.Errorf("%s is published at %q", name, ports)
		} else if published && !strings.HasPrefix(ports, "127.0.0.1:") {
			s.tb.Errorf("%s is published at %q, open to the network", name, ports)
		}
	}
	link := regexp.MustCompile(`make the first administrator within \d+ minutes: http://localhost:8080/\S+#\S+`)
	if logs := s.compose("logs", "--no-color", "agent"); !link.MatchString(logs) {
		s.tb.Errorf("no setup link in\n%s", logs)
	}
	if status, _ := s.get("/api/v1/metrics/current", ""); status != http.StatusUnauthorized {
		s.tb.Errorf("without a token the status is %d", status)
	}
	if status, _ := s.get("/api/v1/config", s.token); status != http.StatusForbidden {
		s.tb.Errorf("the read-only token gets %d from an administrators' operation", status)
	}
}

// checkHost checks that the numbers are the host's, which here is where Docker runs.
func (s *composed) checkHost() {
	s.tb.Helper()
	status, body := s.get("/api/v1/metrics/current", s.token)
	if status != http.StatusOK || !strings.Contains(body, `"scope":"host"`) || !strings.Contains(body, `"docker0"`) {
		s.tb.Errorf("%d, want the host's numbers: %s", status, body)
	}
	if _, body = s.get("/api/v1/metrics/processes?top=100&q=dockerd", s.token); !strings.Contains(body, `"dockerd"`) {
		s.tb.Errorf("the agent does not see dockerd: %s", body)
	}
	// No permissions may be missing.
	if said := s.compose("exec", "-T", "agent", "/sysotel", "check"); strings.Contains(said, "needed:") {
		s.tb.Errorf("the agent lacks permissions:\n%s", said)
	}
}

// checkTargets checks that Prometheus scrapes everything, with the token if needed.
func (s *composed) checkTargets() {
	s.tb.Helper()
	await(s.tb, 40*time.Second, "Prometheus cannot scrape all targets", func() error {
		body := s.compose("exec", "-T", "prometheus", "wget", "-q", "-O", "-", "http://127.0.0.1:9090/api/v1/query?query=up==1")
		if n := strings.Count(body, `"metric"`); n != 7 {
			return fmt.Errorf("%d of 7: %s", n, body)
		}
		return nil
	})
}

// tiers are those that close a bucket during the test.
var tiers = []string{"1s", "1m"}

// filled returns an error until all tiers have data.
func (s *composed) filled() error {
	for _, tier := range tiers {
		if n := s.node(tier, `count(last_over_time(sysotel_cpu_usage_ratio[5m]))`, time.Now()); n < 1 {
			return fmt.Errorf("tier %s has no processor usage", tier)
		}
	}
	if n := s.node("1m", `count(last_over_time(sysotel_cpu_usage_max_ratio[5m]))`, time.Now()); n < 1 {
		return errors.New("tier 1m has no maximum")
	}
	return nil
}

// node evaluates a query on a VictoriaMetrics node at a time, 0 for no result.
func (s *composed) node(tier, query string, at time.Time) float64 {
	s.tb.Helper()
	return s.value(s.compose("exec", "-T", "vm-"+tier, "wget", "-q", "-O", "-",
		fmt.Sprintf("http://127.0.0.1:8428/api/v1/query?time=%d&query=%s", at.Unix(), url.QueryEscape(query))))
}

// firstSecond returns the time of the first reading.
func (s *composed) firstSecond() (first time.Time) {
	s.tb.Helper()
	await(s.tb, 30*time.Second, "tier 1s stays empty", func() error {
		n := s.node("1s", `min(tfirst_over_time(sysotel_cpu_usage_ratio[5m]))`, time.Now())
		if n == 0 {
			return errors.New("no reading")
		}
		first = time.Unix(int64(n), 0)
		return nil
	})
	return first
}

// kept returns how many points a tier has of a range.
func (s *composed) kept(tier string, from, to time.Time) int {
	s.tb.Helper()
	return int(s.node(tier, fmt.Sprintf("count_over_time(sysotel_cpu_usage_ratio[%ds])", int(to.Sub(from).Seconds())), to))
}

// checkAnswer checks that the agent serves a range from VictoriaMetrics.
func (s *composed) checkAnswer(from, to time.Time) {
	s.tb.Helper()
	status, body := s.get(fmt.Sprintf("/prometheus/api/v1/query_range?query=sysotel_cpu_usage_ratio&step=1&start=%d&end=%d", from.Unix(), to.Unix()), s.token)
	if status != http.StatusOK || strings.Contains(body, `"warnings"`) {
		s.tb.Errorf("%d, want a result from VictoriaMetrics: %s", status, body)
	}
	if n, want := strings.Count(body, "],["), int(to.Sub(from).Seconds()); n < want/2 {
		s.tb.Errorf("%d values for %d seconds: %s", n, want, body)
	}
}

// value returns the one value of a Prometheus API response, 0 for none.
func (s *composed) value(body string) float64 {
	s.tb.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		s.tb.Fatalf("%v: %s", err, body)
	}
	if len(answer.Data.Result) == 0 {
		return 0
	}
	n, err := strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
	if err != nil {
		s.tb.Fatal(err)
	}
	return n
}

// get requests a path of the agent at its published address.
func (s *composed) get(path, token string) (status int, body string) {
	s.tb.Helper()
	request, err := http.NewRequestWithContext(s.tb.Context(), http.MethodGet, "http://127.0.0.1:8080"+path, http.NoBody)
	if err != nil {
		s.tb.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := s.http.Do(request)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.tb.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// number runs a program that prints a number.
func (d *docker) number(name string, args ...string) float64 {
	d.tb.Helper()
	n, err := strconv.ParseFloat(strings.TrimSpace(d.run(name, args...)), 64)
	if err != nil {
		d.tb.Fatal(err)
	}
	return n
}
