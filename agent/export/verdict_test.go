package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sysotel/agent/health"
)

// proxy is an HTTP/2 server that answers by itself, without a gRPC status, until it
// passes requests on to a receiver.
func proxy(t *testing.T, answer http.HandlerFunc, receiver http.Handler) (url string, pass *atomic.Bool) {
	t.Helper()
	pass = new(atomic.Bool)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pass.Load() {
			receiver.ServeHTTP(w, r)
			return
		}
		answer(w, r)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, pass
}

// TestAnswerOfAProxy: an answer without a gRPC status costs nothing: the readings wait, and
// arrive when the way is free.
func TestAnswerOfAProxy(t *testing.T) {
	t.Parallel()
	page := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, "<h1>No</h1>")
		}
	}
	answers := map[string]struct {
		answer http.HandlerFunc
		health string
	}{
		"200 with a page": {page(200), "200 (OK)"},
		"without a status": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.WriteHeader(200)
		}, "requests wait"},
		"broken off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "requests wait"},
	}
	for _, code := range []int{400, 401, 403, 404, 405, 413, 418, 429, 500, 501, 502, 503, 504, 511} {
		answers[fmt.Sprint(code)] = struct {
			answer http.HandlerFunc
			health string
		}{page(code), fmt.Sprintf("%d (%s)", code, http.StatusText(code))}
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			url, pass := proxy(t, c.answer, r.handler())
			a := pushTo(t, url, nil)
			a.load(t, 0, 1, 2)
			within(t, patience, "health says "+c.health, func() bool {
				h := a.otlp.finest().health()
				return h.Status == health.Degraded && strings.Contains(h.Reason, c.health) && strings.Contains(h.Reason, "3 requests wait, 0 were dropped")
			})
			pass.Store(true)
			r.wait(t, 3)
			within(t, patience, "all are counted", func() bool { return a.otlp.finest().stats().Sent == 3 })
			a.wantLoads(t, r, 0, 1, 2)
			equal(t, "dropped", a.otlp.finest().stats().Dropped, 0)
			equal(t, "health", a.otlp.finest().health().Status, health.OK)
		})
	}
}

// TestTooLargeForAProxy: requests that are too large for a proxy together go one by one.
func TestTooLargeForAProxy(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	var refused atomic.Int32
	handler := r.handler()
	url, pass := proxy(t, nil, http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil || len(body) > 1500 {
			refused.Add(1)
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(w, request)
	}))
	pass.Store(true)
	a := pushTo(t, url, func(c *Config) { c.OTLP.Interval, c.OTLP.Compression = 6*time.Second, "none" })
	a.load(t, 0, 1, 2, 3, 4, 5)
	r.wait(t, 6)
	a.wantLoads(t, r, 0, 1, 2, 3, 4, 5)
	equal(t, "refused", refused.Load(), 1)
}

// TestReceiverRefusesTheSender: what the receiver thinks of the agent is not about the
// readings; they wait until it accepts the agent.
func TestReceiverRefusesTheSender(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			var accepts atomic.Bool
			r := &receiver{answer: func(context.Context, int) (*collectorpb.ExportMetricsServiceResponse, error) {
				if !accepts.Load() {
					return nil, status.Error(code, "the token\nis \x1b[31mexpired "+strings.Repeat("x", 10_000))
				}
				return &collectorpb.ExportMetricsServiceResponse{}, nil
			}}
			a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
			a.load(t, 0, 1)
			within(t, patience, "health says so", func() bool {
				h := a.otlp.finest().health()
				return strings.Contains(h.Reason, code.String()+": the token is ") && strings.Contains(h.Reason, "2 requests wait, 0 were dropped") &&
					!strings.Contains(h.Reason, "\x1b") && len(h.Reason) < 1000
			})
			within(t, patience, "the oldest grows older", func() bool { return a.otlp.finest().stats().Age > 0.1 })
			accepts.Store(true)
			within(t, patience, "both are sent", func() bool { return a.otlp.finest().stats().Sent == 2 })
			within(t, patience, "none waits any more", func() bool { return a.otlp.finest().stats().Age == 0 })
			a.wantLoads(t, r, 0, 1)
			a.log.soon(t, 1, "level=WARN", "expired")
		})
	}
}

// TestVerdicts: what the receiver itself refuses is dropped, whatever the same code means
// on the way.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{
		codes.Unknown, codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition,
		codes.Unimplemented, codes.Internal, codes.ResourceExhausted,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			r := &receiver{answer: func(_ context.Context, n int) (*collectorpb.ExportMetricsServiceResponse, error) {
				if n == 0 {
					return nil, status.Error(code, "not this one")
				}
				return &collectorpb.ExportMetricsServiceResponse{}, nil
			}}
			a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
			a.load(t, 0)
			within(t, patience, "it is dropped", func() bool { return a.otlp.finest().stats().Dropped == 1 })
			a.log.soon(t, 1, "level=ERROR", "not this one")
			a.load(t, 1)
			within(t, patience, "the next one is sent", func() bool { return a.otlp.finest().stats().Sent == 1 })
			a.wantLoads(t, r, 1)
		})
	}
}

// partly is a response that rejects points, or warns.
func partly(rejected int64, words string) *collectorpb.ExportMetricsServiceResponse {
	return &collectorpb.ExportMetricsServiceResponse{PartialSuccess: &collectorpb.ExportMetricsPartialSuccess{RejectedDataPoints: rejected, ErrorMessage: words}}
}

// TestReceiverRejectsPoints: while it does, the push is degraded, with the receiver's own
// words; each episode is logged anew, and ends a while after the last rejection.
func TestReceiverRejectsPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		c := Defaults()
		c.OTLP.Endpoint = "http://127.0.0.1:1"
		p, err := New(testOptions(t, c, log))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Shutdown(t.Context()) }()
		s := p.otlp.finest()
		respond := func(r *collectorpb.ExportMetricsServiceResponse) {
			time.Sleep(time.Second)
			s.succeeded(1, r)
		}
		want := func(status health.Status, words string) {
			t.Helper()
			if h := s.health(); h.Status != status || !strings.Contains(h.Reason, words) || words == "" && h.Reason != "" || status == health.Degraded && h.Since.IsZero() {
				t.Fatalf("health is %+v, want %s %q", h, status, words)
			}
		}
		all := &collectorpb.ExportMetricsServiceResponse{}
		for episode := 1; episode <= 3; episode++ {
			for range 100 {
				respond(partly(2, "too many\x1b\nlabels"))
				want(health.Degraded, "too many")
				respond(all) // Now and then it takes everything.
			}
			if strings.ContainsAny(s.health().Reason, "\x1b\n") {
				t.Errorf("control characters in %q", s.health().Reason)
			}
			log.soon(t, episode, "level=WARN", "the receiver rejects points", "points=2", "too many")
			log.soon(t, episode-1, "accepts all points again")
			for range 58 {
				respond(all)
				want(health.Degraded, "too many")
			}
			respond(all)
			want(health.OK, "")
			log.soon(t, episode, "accepts all points again")
		}
		equal(t, "rejected", s.stats().Rejected, 600)
		equal(t, "dropped", s.stats().Dropped, 0)
		respond(partly(7, ""))
		want(health.Degraded, "607 since the start: it gives no reason")
		for range 61 {
			respond(all)
		}

		// A warning costs nothing: it is shown, and logged once per text.
		for range 10 {
			respond(partly(0, "this name is deprecated"))
			want(health.OK, "the receiver warns: this name is deprecated")
		}
		for n := range 100 {
			respond(partly(0, fmt.Sprint("warning ", n)))
			want(health.OK, fmt.Sprint("warning ", n))
		}
		log.soon(t, 1, "level=WARN", "the receiver warns", "this name is deprecated")
		log.soon(t, maxWarned, "the receiver warns")
		for range 61 {
			respond(all)
		}
		want(health.OK, "")
	})
}
