package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// load is how the agent answers under many requests.
type load struct {
	rate     float64
	size     int
	p50, p99 time.Duration
	peak     float64 // Megabytes resident.
	others   float64 // Cores that neither the agent nor the client used.
}

// measureLoad has a client of its own process ask for /current over many
// connections; agent and client share the machine's cores.
func measureLoad(t *testing.T, binary string, p plan) load {
	var rates, peaks, others []float64
	var p50, p99 []time.Duration
	var size int
	for range p.runs {
		t.Run("load", func(t *testing.T) {
			a := startAgent(t, binary)
			wait(t, p.warmUp)
			agent, machine, began := statTime(t, a.pid()), machineBusy(t), time.Now()
			client := startChild(t, "load", a.address, p.load.String())
			var told answers
			if err := json.Unmarshal([]byte(client.line()), &told); err != nil {
				t.Fatal(err)
			}
			elapsed := time.Since(began)
			if told.Requests == 0 || told.Failed != "" {
				t.Fatalf("%d requests, then: %s", told.Requests, told.Failed)
			}
			a.check(t, true)
			rest := machineBusy(t) - machine - (statTime(t, a.pid()) - agent) - statTime(t, client.pid())
			client.stop()
			rates, size = append(rates, float64(told.Requests)/told.Elapsed.Seconds()), told.Size
			p50, p99 = append(p50, told.P50), append(p99, told.P99)
			peaks, others = append(peaks, memory(t, a.pid(), "VmHWM:")), append(others, rest.Seconds()/elapsed.Seconds())
			t.Logf("%.0f requests/s, p50 %s, p99 %s, others %.2f cores", rates[len(rates)-1], told.P50, told.P99, others[len(others)-1])
		})
	}
	if len(rates) < p.runs {
		t.FailNow()
	}
	return load{middle(rates), size, middle(p50), middle(p99), middle(peaks), middle(others)}
}

// answers is what the client found, as it tells it.
type answers struct {
	Requests int
	Size     int
	Elapsed  time.Duration
	P50, P99 time.Duration
	Failed   string
}

// ask sends requests over many connections, on each the next when the one
// before is answered, until the time is up. It speaks HTTP by hand, because
// net/http's client would cost more than the server that is measured.
func ask(address string, d time.Duration) answers {
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
			mine, size, err := askOne(address, began.Add(d))
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
		all.P50, all.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return all
}

// askOne is one connection's share of ask.
func askOne(address string, until time.Time) (took []time.Duration, size int, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(until.Add(10 * time.Second)); err != nil {
		return nil, 0, err
	}
	request := []byte("GET /api/v1/metrics/current HTTP/1.1\r\nHost: " + address + "\r\n\r\n")
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
)

// skipAnswer reads one answer and returns the size of its body.
func skipAnswer(r *bufio.Reader) (int, error) {
	row, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(row, statusOK) {
		return 0, fmt.Errorf("the answer is %q", row)
	}
	length := -1
	for {
		row, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		row = bytes.TrimRight(row, "\r\n")
		if len(row) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(row, contentLength); ok {
			if length, err = strconv.Atoi(string(v)); err != nil {
				return 0, err
			}
		}
	}
	if length <= 0 {
		return 0, errors.New("the answer does not tell its length")
	}
	_, err = r.Discard(length)
	return length, err
}
