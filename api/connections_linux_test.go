package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serveBounded serves with few connections until the test ends: 8 in total, 4 per
// client. Streams last until the client disconnects, bodies are read to their end.
func serveBounded(t *testing.T, p proxies) (*connections, string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", answerOK)
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	everybody := &routes{authorize: func(http.ResponseWriter, *http.Request, Access) bool { return true }}
	mux.HandleFunc("/stream", everybody.guard(Access{Cost: Stream}, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	server := newHTTP(secure(quiet, mux), quiet)
	c := newConnections(p)
	c.total, c.each = 8, 4
	c.network = func(a netip.Addr) netip.Addr { return a }
	c.attach(server)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return c, listener.Addr().String()
}

// visitor is a connection from its own address: on Linux the whole of
// 127.0.0.0/8 is this machine, which these tests take for many clients.
type visitor struct {
	net.Conn
	t    *testing.T
	read *bufio.Reader
}

func visit(t *testing.T, from, to string) *visitor {
	t.Helper()
	conn, err := dialFrom(t, from, to)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{conn, t, bufio.NewReader(conn)}
}

func dialFrom(t *testing.T, from, to string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return conn, err
}

// say sends half a request or a whole one.
func (v *visitor) say(text string) *visitor {
	_, _ = io.WriteString(v.Conn, text) // It may have been closed, which the tests check.
	return v
}

const request = " HTTP/1.1\r\nHost: localhost\r\n\r\n"

// answered reads the head of the response, which must come.
func (v *visitor) answered() *visitor {
	v.t.Helper()
	response, err := http.ReadResponse(v.read, nil)
	if err != nil {
		v.t.Fatalf("%s was not answered: %v", v.LocalAddr(), err)
	}
	if response.StatusCode != http.StatusOK {
		v.t.Fatalf("%s was answered %s", v.LocalAddr(), response.Status)
	}
	return v
}

// closed waits until the server closes the connection.
func (v *visitor) closed() {
	v.t.Helper()
	if _, err := io.Copy(io.Discard, v.read); err != nil && strings.Contains(err.Error(), "timeout") {
		v.t.Fatalf("%s is still open", v.LocalAddr())
	}
}

// await waits for a number of connections in a state.
func (c *connections) await(t *testing.T, busy, waiting int) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		b, w := 0, 0
		for _, client := range c.clients {
			b, w = b+client.busy.Len(), w+client.waiting.Len()
		}
		n := len(c.open)
		c.mu.Unlock()
		if b == busy && w == waiting && n == busy+waiting {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-deadline.C:
			t.Fatalf("%d connections, %d busy and %d waiting, want %d and %d", n, b, w, busy, waiting)
		}
	}
}

// Connections that send nothing, or a header byte by byte, are closed oldest first,
// and later ones are served, even from the same address.
func TestSlowloris(t *testing.T) {
	c, address := serveBounded(t, nil)
	var slow []*visitor
	for range 4 {
		slow = append(slow, visit(t, "127.0.2.1", address).say("GET / HTTP/1.1\r\nX: "))
		c.await(t, 0, len(slow))
	}
	for i := range slow {
		visit(t, "127.0.2.1", address).say("GET /" + request).answered()
		slow[i].closed()
	}
	c.await(t, 0, 4)
}

// At the total limit the client with the most connections loses one.
func TestTheGreediestPays(t *testing.T) {
	c, address := serveBounded(t, nil)
	var honest []*visitor
	for _, from := range []string{"127.0.1.1", "127.0.1.2", "127.0.1.3"} {
		honest = append(honest, visit(t, from, address).say("GET /"+request).answered())
	}
	for i := range 20 {
		visit(t, "127.0.2.1", address)
		visit(t, "127.0.2.2", address)
		c.await(t, 0, min(8, 3+2*(i+1)))
	}
	for _, v := range append(honest, visit(t, "127.0.1.4", address)) {
		v.say("GET /" + request).answered()
	}
}

// Streams are not closed to make room; other busy connections are, oldest first. If
// there are only streams, the new connection is closed.
func TestStreamsStay(t *testing.T) {
	c, address := serveBounded(t, nil)
	stream := visit(t, "127.0.2.1", address).say("GET /stream" + request).answered()
	var slow []*visitor
	for range 3 {
		slow = append(slow, visit(t, "127.0.2.1", address).say("POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"))
		c.await(t, 1+len(slow), 0)
	}
	visit(t, "127.0.2.1", address).say("GET /" + request).answered()
	slow[0].closed()
	for range 3 {
		visit(t, "127.0.2.1", address).say("GET /stream" + request).answered()
	}
	c.await(t, 4, 0)
	if refused, err := dialFrom(t, "127.0.2.1", address); err == nil { // It may be closed before the connection is established.
		(&visitor{refused, t, bufio.NewReader(refused)}).closed()
	}
	_ = stream.Close()
	c.await(t, 3, 0)
	visit(t, "127.0.2.1", address).say("GET /stream" + request).answered()
}

// A trusted proxy has connections of many clients: only the total limit applies.
func TestAProxyHasAll(t *testing.T) {
	c, address := serveBounded(t, newProxies(HTTPConfig{TrustedProxies: []string{"127.0.3.1"}}))
	for i := range 12 {
		visit(t, "127.0.3.1", address).say("GET /" + request).answered()
		c.await(t, 0, min(8, i+1))
	}
}

// An unused request body holds its connection only briefly.
func TestALateBodyIsNotAwaited(t *testing.T) {
	_, address := serveBounded(t, nil)
	began := time.Now()
	visit(t, "127.0.2.1", address).say("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n").closed()
	if took := time.Since(began); took > bodyTime/2 {
		t.Errorf("the connection was held for %s", took)
	}
}

// Connections closed early are forgotten too.
func TestConnectionsAreForgotten(t *testing.T) {
	c, address := serveBounded(t, nil)
	for range 50 {
		_ = visit(t, "127.0.2.1", address).Close()
		_ = visit(t, "127.0.2.1", address).say("GET /" + request).answered().Close()
	}
	c.await(t, 0, 0)
	c.mu.Lock()
	if len(c.clients) != 0 {
		t.Errorf("%d clients are remembered without a connection", len(c.clients))
	}
	c.mu.Unlock()
	if end := markStream(context.Background()); end == nil {
		t.Error("a request without a connection, as by the socket, has no stream to end")
	}
}
