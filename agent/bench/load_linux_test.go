package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// load is the result of a load test.
type load struct {
	rate           float64
	size           int
	mean, p50, p99 time.Duration
	peak           float64 // Megabytes resident.
	others         float64 // Cores used by other programs than the agent and the client.
}

// The requested paths: the newest reading, and an hour of CPU usage as for a chart of the
// dashboard.
const (
	currentPath = "/api/v1/metrics/current"
	seriesPath  = "/api/v1/metrics/cpu?start=-1h&metric=cpu_usage_total&metric=cpu_usage_per_core"
)

// rangePath is an hour of CPU usage in PromQL, as for a chart of Grafana.
func rangePath() string {
	end := time.Now().Unix()
	return fmt.Sprintf("/prometheus/api/v1/query_range?query=%s&start=%d&end=%d&step=15",
		url.QueryEscape(`sum by (state) (rate(system_cpu_time_seconds_total[1m]))`), end-int64(pastLength/time.Second), end)
}

// measureLoad has a client in another process request a path of an agent with history
// over several connections. Agent and client share the machine's cores.
func measureLoad(t *testing.T, binary, directory, path string, connections int, p plan) load {
	var rates, peaks, others []float64
	var mean, p50, p99 []time.Duration
	var size int
	for range p.runs {
		t.Run("load", func(t *testing.T) {
			a := startAgentOn(t, binary, directory)
			wait(t, p.warmUp)
			if path != currentPath {
				a.checkHour(t, path)
			}
			agent, machine, began := statTime(t, a.pid()), machineBusy(t), time.Now()
			client := startChild(t, "load", a.address, path, strconv.Itoa(connections), p.load.String())
			var result answers
			if err := json.Unmarshal([]byte(client.line()), &result); err != nil {
				t.Fatal(err)
			}
			elapsed := time.Since(began)
			if result.Requests == 0 || result.Failed != "" {
				t.Fatalf("%d requests, then: %s", result.Requests, result.Failed)
			}
			a.check(t, true)
			rest := machineBusy(t) - machine - (statTime(t, a.pid()) - agent) - statTime(t, client.pid())
			client.stop()
			rates, size = append(rates, float64(result.Requests)/result.Elapsed.Seconds()), result.Size
			mean, p50, p99 = append(mean, result.Mean), append(p50, result.P50), append(p99, result.P99)
			peaks, others = append(peaks, memory(t, a.pid(), "VmHWM:")), append(others, rest.Seconds()/elapsed.Seconds())
			t.Logf("%s, %d connections: %.0f requests/s, p50 %s, p99 %s, others %.2f cores", path, connections, rates[len(rates)-1], result.P50, result.P99, others[len(others)-1])
		})
	}
	if len(rates) < p.runs {
		t.FailNow()
	}
	return load{middle(rates), size, middle(mean), middle(p50), middle(p99), middle(peaks), middle(others)}
}

// checkHour waits until a response covers the hour before the start, and fails the test
// if it never does: an empty response costs nothing.
func (a *agent) checkHour(t *testing.T, path string) {
	t.Helper()
	for opened := time.Now(); ; {
		status, body := a.get(t, path)
		points := bytes.Count(body, []byte(",")) - 10*bytes.Count(body, []byte("null"))
		if status == http.StatusOK && points >= 1500 {
			return
		}
		if status != http.StatusOK && status != http.StatusServiceUnavailable || time.Since(opened) > 30*time.Second {
			t.Fatalf("%s: %d with about %d points: %.300s\n%s", path, status, points, body, a.log)
		}
		wait(t, 20*time.Millisecond) // The store, or its finest tier, is still being opened.
	}
}

// answers is the client's result.
type answers struct {
	Requests       int
	Size           int
	Elapsed        time.Duration
	Mean, P50, P99 time.Duration
	Failed         string
}

// ask sends requests over several connections, one at a time on each, until the time is
// up. It does not use net/http's client, which would cost more than the measured server.
func ask(address, path string, connections int, d time.Duration) answers {
	var (
		all  answers
		took []time.Duration
		errs []error
		mu   sync.Mutex
		done sync.WaitGroup
	)
	began := time.Now()
	for range connections {
		done.Go(func() {
			mine, size, err := askOne(address, path, began.Add(d))
			mu.Lock()
			defer mu.Unlock()
			took, all.Size, errs = append(took, mine...), size, append(errs, err)
		})
	}
	done.Wait()
	all.Elapsed, all.Requests = time.Since(began), len(took)
	if err := errors.Join(errs...); err != nil {
		all.Failed = err.Error()
	}
	if len(took) > 0 {
		slices.Sort(took)
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		all.Mean = sum / time.Duration(len(took))
		all.P50, all.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return all
}

// askOne sends the requests of one connection.
func askOne(address, path string, until time.Time) (took []time.Duration, size int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(40 * time.Second)); err != nil {
		return nil, 0, err
	}
	request := []byte("GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
	answer := bufio.NewReaderSize(conn, 64<<10)
	took = make([]time.Duration, 0, 1<<14)
	for began := time.Now(); began.Before(until); {
		if _, err := conn.Write(request); err != nil {
			return took, size, err
		}
		if size, err = skipAnswer(answer); err != nil {
			return took, size, err
		}
		now := time.Now()
		took = append(took, now.Sub(began))
		began = now
	}
	return took, size, nil
}

var (
	statusOK      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
	chunked       = []byte("Transfer-Encoding: chunked")
)

// skipAnswer reads one response and returns the size of its body.
func skipAnswer(r *bufio.Reader) (int, error) {
	row, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(row, statusOK) {
		return 0, fmt.Errorf("the response is %q", row)
	}
	length, pieces := -1, false
	for {
		row, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		row = bytes.TrimRight(row, "\r\n")
		if len(row) == 0 {
			break
		}
		pieces = pieces || bytes.Equal(row, chunked)
		if v, ok := bytes.CutPrefix(row, contentLength); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, err
			}
		}
	}
	if pieces {
		n, err := io.Copy(io.Discard, httputil.NewChunkedReader(r))
		if err != nil {
			return int(n), fmt.Errorf("the response ends after %d bytes: %w", n, err)
		}
		if n == 0 {
			return 0, errors.New("the response is empty")
		}
		_, err = r.Discard(len("\r\n")) // The end of the empty trailer.
		return int(n), err
	}
	if length <= 0 {
		return 0, errors.New("the response has no length")
	}
	_, err = r.Discard(length)
	return length, err
}
