package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneConnection is a listener with one connection.
type oneConnection struct{ accepted chan net.Conn }

func (l oneConnection) Accept() (net.Conn, error) {
	c, ok := <-l.accepted
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (l oneConnection) Close() error { return nil }

func (oneConnection) Addr() net.Addr { return &net.UnixAddr{Name: "one", Net: "unix"} }

// TestLongRequestWithBody: the limit of time for a body ends with it. A request may take
// longer, its response may be read late, and the next one of the same connection is
// served; time before the body is read does not count; a body that does not arrive is
// refused, and the connection closed.
func TestLongRequestWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		refused := make(chan time.Duration, 1)
		l := oneConnection{make(chan net.Conn, 1)}
		l.accepted <- server
		s := &http.Server{WriteTimeout: responseTime, Handler: secure(quiet, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/turn" { // As a large query waits for its turn.
				time.Sleep(2 * bodyTime)
			}
			began := time.Now()
			body, err := io.ReadAll(r.Body)
			if err != nil {
				refused <- time.Since(began)
				w.WriteHeader(http.StatusRequestTimeout)
				return
			}
			select {
			case <-time.After(responseTime + bodyTime): // It takes long to make the response.
				_, _ = fmt.Fprintf(w, "read %s", body)
			case <-r.Context().Done():
				w.WriteHeader(499)
			}
		}))}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		answers := bufio.NewReader(client)
		late := responseTime + bodyTime + 3*lateTime
		ask := func(request, want string) {
			t.Helper()
			head, rest, _ := strings.Cut(request, "\r\n\r\n")
			go func() { // Apart: net/http reads ahead.
				_, _ = io.WriteString(client, head+"\r\n\r\n")
				_, _ = io.WriteString(client, rest)
			}()
			time.Sleep(late) // It reads late.
			r, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(r.Body)
			if got := fmt.Sprint(r.StatusCode, " ", string(body)); err != nil || strings.TrimSpace(got) != want {
				t.Fatalf("the answer is %q (%v), want %q", got, err, want)
			}
		}
		const post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
		ask(post+"ab", "200 read ab")
		ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 read")
		ask(post+"cd", "200 read cd")
		ask(strings.Replace(post, "/", "/turn", 1)+"ef", "200 read ef")
		ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 read")
		go func() {
			time.Sleep(bodyTime + lateTime/2)
			_, _ = io.WriteString(client, "h") // The other half, too late.
		}()
		late = 2 * bodyTime
		ask(post+"g", "408")
		if took := <-refused; took != bodyTime {
			t.Errorf("half a body was awaited for %s", took)
		}
		if _, err := answers.ReadByte(); err != io.EOF {
			t.Errorf("a connection whose body came too late is kept: %v", err)
		}
		_ = client.Close()
		close(l.accepted)
		_ = s.Close()
		<-served
	})
}
