//go:build linux

package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysotel/api"
)

// The attack, from many addresses of this machine, which count as one client.
const (
	attackers        = "127.0.2."
	attackerRequests = 10_000 // Per second.
	attackerSenders  = 50     // Their connections.
	attackerSlow     = 500    // Connections that send a header byte by byte.
	attackerStreams  = 1_000
)

// floodGrowth is how much the agent's memory may grow, in bytes.
const floodGrowth = 100_000_000

// floodLength is how long the attack lasts.
func floodLength() time.Duration {
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		return time.Minute
	}
	return 20 * time.Second
}

// crowd are the honest clients of an attacked agent.
type crowd struct {
	// prepare runs before the clients start, with a client of the agent's socket.
	prepare func(socket *http.Client)
	// decorate changes each request of a client, such as to add a token.
	decorate func(i int, r *http.Request)
}

// TestSoakFlood runs a hundred clients with one request per second each and a token
// of their own, while another one floods the agent from the same machine. The hundred
// are served, the flood gets 429, and the agent stays small and misses no second.
func TestSoakFlood(t *testing.T) {
	tokens := make([]string, loadClients)
	flood(t, crowd{
		prepare: func(socket *http.Client) {
			for i := range tokens {
				tokens[i] = newToken(t, socket, fmt.Sprintf("client%d", i))
			}
		},
		decorate: func(i int, r *http.Request) { r.Header.Set("Authorization", "Bearer "+tokens[i]) },
	})
}

// newToken creates a token for a viewer.
func newToken(t *testing.T, socket *http.Client, name string) string {
	t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"name":%q,"role":"viewer"}`, name))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/api/v1/tokens", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := socket.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var made api.NewToken
	if err := json.NewDecoder(response.Body).Decode(&made); err != nil || made.Secret == "" {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return made.Secret
}

func flood(t *testing.T, honest crowd) {
	t.Helper()
	length := floodLength()
	c := configure(t, "--host.name=loaded")
	past(t, c)
	path := filepath.Join(c.DataDir, "flood.log")
	a := spawn(t, "agent", "floodagent", nil, append(sameFlags(c), "--host.name=loaded", "--log.file="+path, "--log.format=json")...)
	socket := unixClient(c)
	awaitTick(t, socket, 2)
	address := fmt.Sprint(readJournal(t, path).await(t, map[string]any{"msg": "sysotel started"})["api"])
	poll(t, func() error { // The store may still be opening.
		_, err := ask(t.Context(), socket, floodQuestions()[1].path)
		return err
	})

	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	honest.prepare(socket)
	questions := floodQuestions()
	for i := range loadClients {
		client := honest.client(t, i)
		all.Go(func() { visitEachSecond(ctx, t, i, client, address, questions) })
	}
	from := awaitTick(t, socket, 8)
	before := a.resident(t)

	enemy := &enemy{address: strings.TrimPrefix(address, "http://")}
	all.Go(func() { enemy.attack(ctx) })
	var peak uint64
	to := from
	for to.Timestamp.Sub(from.Timestamp) < length {
		to = awaitTick(t, socket, to.Tick+1)
		peak = max(peak, a.resident(t))
	}
	stop()
	all.Wait()

	t.Logf("resident %d MB, at most %d MB under attack", before/1e6, peak/1e6)
	if peak > before+floodGrowth {
		t.Errorf("the agent grew from %d to %d MB", before/1e6, peak/1e6)
	}
	for _, q := range questions {
		q.log(t, to.Timestamp.Sub(from.Timestamp).Seconds())
	}
	enemy.check(t, length)
	log := readJournal(t, path)
	checkSampling(t, log, from.Timestamp, to.Timestamp, int(to.Tick-from.Tick), length)
	if t.Failed() {
		t.Logf("the agent's log:\n%s", log)
	}
}

// floodQuestions are the requests of an honest client: the first one each second, the
// others in turn every few seconds.
func floodQuestions() []*question {
	now := time.Now().Unix()
	return []*question{
		{name: "current", path: "/api/v1/metrics/current", minValues: 10},
		{name: "an hour of CPU", path: "/api/v1/metrics/cpu?start=-1h&metric=cpu_usage_total", minValues: 400},
		{name: "query_range", path: fmt.Sprintf("/prometheus/api/v1/query_range?query=%s&start=%d&end=%d&step=60",
			url.QueryEscape(`sum by (state) (rate(system_cpu_time_seconds_total[1m]))`), now-int64(loadHistory/time.Second), now), minValues: 400},
	}
}

// client is an honest client.
func (c crowd) client(t *testing.T, i int) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: patience / 2, Transport: decorated{transport, func(r *http.Request) { c.decorate(i, r) }}}
}

// dialFrom returns a dialer with a source address. The kernel chooses the port at
// connect, so that a port in use for another destination can be shared.
func dialFrom(address string) *net.Dialer {
	return &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)},
		Control: func(_, _ string, raw syscall.RawConn) error {
			var refused error
			err := raw.Control(func(fd uintptr) {
				refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
			return errors.Join(err, refused)
		},
	}
}

// decorated is a transport that adds something to each request.
type decorated struct {
	http.RoundTripper
	decorate func(*http.Request)
}

func (d decorated) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	d.decorate(r)
	return d.RoundTripper.RoundTrip(r)
}

// visitEachSecond runs an honest client until the context ends.
func visitEachSecond(ctx context.Context, t *testing.T, i int, client *http.Client, address string, questions []*question) {
	const every = 5 // Seconds between requests for history.
	if !wait(ctx, time.Duration(i)*time.Second/loadClients) {
		return
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := i; ; n++ {
		asked := questions[:1]
		if n%every == 0 {
			past := questions[1:]
			asked = append(asked[:1:1], past[n/every%len(past)])
		}
		for _, q := range asked {
			if err := q.ask(ctx, client, address); err != nil && ctx.Err() == nil {
				t.Errorf("honest client %d: %v", i, err)
			}
		}
		select {
		case <-second.C:
		case <-ctx.Done():
			return
		}
	}
}

// resident returns the resident memory of a child, from the kernel.
func (c *child) resident(t *testing.T) uint64 {
	t.Helper()
	n, err := residentBytes(fmt.Sprintf("/proc/%d/smaps_rollup", c.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkSampling fails the test if more than a second per minute is missing, or one
// without a gap event.
func checkSampling(t *testing.T, log *journal, from, to time.Time, ticks int, length time.Duration) {
	t.Helper()
	reported := map[time.Time]bool{}
	within := func(at time.Time) bool { return at.After(from) && !at.After(to) }
	for at := range log.missed(t) {
		if within(at) {
			reported[at.UTC()] = true
		}
	}
	if missing := int(to.Sub(from)/time.Second) - ticks; missing != len(reported) {
		t.Errorf("%d seconds are missing, but the gaps report %d", missing, len(reported))
	}
	for _, gap := range log.find(t, map[string]any{"event": "gap"}) {
		if gap["at"] == nil {
			continue // Missed ticks, counted above.
		}
		if at := parseTime(t, gap["at"]); within(at) { // A collector failed.
			reported[at.UTC()] = true
		}
	}
	if allowed := max(1, int(length/time.Minute)); len(reported) > allowed {
		t.Errorf("in %s under attack %d seconds were missed, want at most %d: %v", length, len(reported), allowed, reported)
	}
	t.Logf("%d seconds were missed", len(reported))
}

// enemy floods an agent.
type enemy struct {
	address string

	connections                          atomic.Int64
	requests, served, refused, unhelpful atomic.Int64 // Requests, in all and by response.
	streams, streamsRefused              atomic.Int64
	slow, cut                            atomic.Int64 // Slow connections that were opened, and closed by the agent.
}

// attack floods the agent until the context ends.
func (e *enemy) attack(ctx context.Context) {
	var all sync.WaitGroup
	for _, kind := range []struct {
		connections int
		every       time.Duration // Between a connection and its successor.
		worst       func(context.Context, net.Conn) error
	}{
		{attackerSenders, 10 * time.Millisecond, e.send},
		{attackerSlow, time.Second, e.dribble},
		{attackerStreams, time.Second, e.follow},
	} {
		for i := range kind.connections {
			// Spread over the interval.
			later := kind.every * time.Duration(i) / time.Duration(kind.connections)
			all.Go(func() {
				if wait(ctx, later) {
					e.again(ctx, kind.every, kind.worst)
				}
			})
		}
	}
	all.Wait()
}

// wait returns false if the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// again keeps connecting during the attack and abuses each connection until it is
// closed.
func (e *enemy) again(ctx context.Context, every time.Duration, worst func(context.Context, net.Conn) error) {
	pause := time.NewTicker(every)
	defer pause.Stop()
	for ctx.Err() == nil {
		dialer := dialFrom(attackers + strconv.FormatInt(1+e.connections.Add(1)%250, 10))
		if conn, err := dialer.DialContext(ctx, "tcp", e.address); err == nil {
			// Thousands of connections in TIME_WAIT would use up the ports of the address.
			_ = conn.(*net.TCPConn).SetLinger(0)
			end := context.AfterFunc(ctx, func() { _ = conn.Close() })
			_ = worst(ctx, conn)
			end()
			_ = conn.Close()
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// send sends cheap requests and queries at its share of attackerRequests.
func (e *enemy) send(ctx context.Context, conn net.Conn) error {
	const atOnce = 4
	questions := floodQuestions()
	var batch strings.Builder
	for i := range atOnce {
		fmt.Fprintf(&batch, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", questions[i%len(questions)].path)
	}
	pace := time.NewTicker(time.Second * atOnce * attackerSenders / attackerRequests)
	defer pace.Stop()
	for answers := bufio.NewReader(conn); ; {
		if _, err := io.WriteString(conn, batch.String()); err != nil {
			return err
		}
		e.requests.Add(atOnce)
		for range atOnce {
			response, err := http.ReadResponse(answers, nil)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return err
			}
			e.count(response)
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// count counts a response by its kind.
func (e *enemy) count(response *http.Response) {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	switch {
	case response.StatusCode == http.StatusOK:
		e.served.Add(1)
	case response.StatusCode == http.StatusTooManyRequests && err == nil && seconds >= 1:
		e.refused.Add(1)
	default:
		e.unhelpful.Add(1)
	}
}

// dribble sends a header that does not end.
func (e *enemy) dribble(ctx context.Context, conn net.Conn) error {
	e.slow.Add(1)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for text := "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "; ; text = "x" {
		if _, err := io.WriteString(conn, text); err != nil {
			if ctx.Err() == nil {
				e.cut.Add(1)
			}
			return err
		}
		select {
		case <-second.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow opens a live stream and never reads more than its head.
func (e *enemy) follow(ctx context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET /api/v1/metrics/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		e.streamsRefused.Add(1)
		return errors.New(response.Status)
	}
	e.streams.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

// check fails the test if the attack did not reach every limit.
func (e *enemy) check(t *testing.T, length time.Duration) {
	t.Helper()
	seconds := length.Seconds()
	t.Logf("the attacker sent %.0f requests per second: %d served, %d refused; %d streams opened, %d refused; %d of %d slow connections cut",
		float64(e.requests.Load())/seconds, e.served.Load(), e.refused.Load(), e.streams.Load(), e.streamsRefused.Load(), e.cut.Load(), e.slow.Load())
	if e.unhelpful.Load() > 0 {
		t.Errorf("%d responses were neither 200 nor 429 with Retry-After", e.unhelpful.Load())
	}
	// The rate limits of both kinds of requests, and their bursts.
	if most := int64(120*(seconds+5) + 300); e.served.Load() > most || e.refused.Load() == 0 {
		t.Errorf("%d requests of the attacker were served, want at most %d; %d were refused", e.served.Load(), most, e.refused.Load())
	}
	if e.streamsRefused.Load() == 0 || e.cut.Load() == 0 {
		t.Errorf("%d streams were refused and %d slow connections cut, want some of both", e.streamsRefused.Load(), e.cut.Load())
	}
}
