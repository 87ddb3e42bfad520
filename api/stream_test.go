package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// openStream opens a stream, which ends with the test.
func openStream(t *testing.T, client *http.Client, address string) *bufio.Reader {
	t.Helper()
	response, err := client.Get(address + "/api/v1/metrics/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	return bufio.NewReader(response.Body)
}

// nextEvent reads one event and returns its id and data.
func nextEvent(r *bufio.Reader) (id uint64, data string, err error) {
	name := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, "", err
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch key {
		case "id":
			if id, err = strconv.ParseUint(value, 10, 64); err != nil {
				return 0, "", err
			}
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if name == "reading" {
				return id, data, nil
			}
		}
	}
}

func streamClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// 100 clients get the newest reading immediately and then every tick: the bytes of
// /current, encoded once.
func TestEveryClientGetsEveryTick(t *testing.T) {
	const clients, ticks = 100, 20
	m := ticked()
	s := newTestServer(t, m, nil)
	address, client := run(t, s), streamClient(t)
	var seen sync.WaitGroup
	streams := make([]*bufio.Reader, clients)
	for i := range streams {
		streams[i] = openStream(t, client, address)
	}
	for tick := uint64(1); tick <= ticks; tick++ {
		for i, stream := range streams {
			seen.Go(func() {
				id, data, err := nextEvent(stream)
				var c Current
				if err != nil || id != tick || json.Unmarshal([]byte(data), &c) != nil || c.Tick != tick {
					t.Errorf("client %d: tick %d came as %d (%v): %.60s", i, tick, id, err, data)
				}
			})
		}
		seen.Wait()
		if t.Failed() {
			return
		}
		m.tick()
	}
	if got := m.timesEncoded(); got > ticks+1 {
		t.Errorf("%d ticks were encoded %d times", ticks, got)
	}
}

func TestTooManyStreams(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	address, client := run(t, s), streamClient(t)
	first := openStream(t, client, address)
	ended := make(chan struct{})
	response, err := client.Get(address + "/api/v1/metrics/stream")
	if err != nil {
		t.Fatal(err)
	}
	for range maxStreams - 2 {
		openStream(t, client, address)
	}
	refused, err := client.Get(address + "/api/v1/metrics/stream")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(refused.Body)
	_ = refused.Body.Close()
	if refused.StatusCode != http.StatusServiceUnavailable || refused.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "256") {
		t.Errorf("stream %d: %s %s", maxStreams+1, refused.Status, body)
	}
	if _, _, err := nextEvent(first); err != nil {
		t.Errorf("the first stream suffered: %v", err)
	}
	// A stream that ends makes room for another.
	_ = response.Body.Close()
	go func() {
		defer close(ended)
		for {
			again, err := client.Get(address + "/api/v1/metrics/stream")
			if err != nil {
				t.Error(err)
				return
			}
			_ = again.Body.Close()
			if again.StatusCode == http.StatusOK {
				return
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a stream that ended made no room")
	}
}

func TestStreamsEndAtOnceWhenTheServerStops(t *testing.T) {
	m := ticked()
	s := newTestServer(t, m, nil)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stream := openStream(t, streamClient(t), "http://"+s.Addr().String())
	if _, _, err := nextEvent(stream); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := nextEvent(stream); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want a clean end", err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(stopTime):
		t.Error("the server waited for a stream")
	}
}

// recorder is a connection that records writes and the deadline.
type recorder struct {
	*httptest.ResponseRecorder
	mu       sync.Mutex
	text     strings.Builder
	deadline time.Time
	gone     bool
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, errors.New("i/o timeout")
	}
	return r.text.Write(b)
}
func (r *recorder) Flush() {}
func (r *recorder) SetWriteDeadline(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deadline = t
	return nil
}

func (r *recorder) written() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// A stream without ticks sends a comment every 15 s. Every write may take 10 s; if it
// fails the stream ends.
func TestStreamHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newFakeMachine(exampleReadings())
		m.next = make(chan struct{})
		s := newTestServer(t, m, nil)
		s.closing = make(chan struct{})
		w := &recorder{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		began := time.Now()
		go func() { s.stream(t.Context(), w); close(ended) }()
		synctest.Wait()
		if got := w.written(); got != "retry: 2000\n\n" {
			t.Errorf("before the first reading: %q", got)
		}
		time.Sleep(46 * time.Second)
		if got := strings.Count(w.written(), ": still here\n\n"); got != 3 {
			t.Errorf("%d heartbeats in 46 s, want 3", got)
		}
		if w.deadline.Sub(began) != 45*time.Second+writeTime {
			t.Errorf("the deadline of the write at 45 s is %s", w.deadline.Sub(began))
		}
		m.tick()
		synctest.Wait()
		time.Sleep(14 * time.Second)
		m.tick()
		synctest.Wait()
		time.Sleep(14 * time.Second)
		if got := strings.Count(w.written(), ": still here\n\n"); got != 3 {
			t.Errorf("a stream that has readings still says that it is there")
		}
		if got := strings.Count(w.written(), "event: reading\n"); got != 2 {
			t.Errorf("%d readings, want 2", got)
		}
		w.mu.Lock()
		w.gone = true
		w.mu.Unlock()
		m.tick()
		<-ended
	})
}

func TestHeadOfStream(t *testing.T) {
	w := ask(newTestServer(t, ticked(), nil), http.MethodHead, "/api/v1/metrics/stream", nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
