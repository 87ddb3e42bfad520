package export

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// connection is the connection to the receiver. gRPC dials again when it breaks. One
// that is dead or frozen does not break: the kernel sends again for a quarter of an hour,
// and a proxy may keep it open for ever. So gRPC asks for a sign of life while it waits
// for a response, and a connection on which requests are not answered in time is closed,
// so that the next request looks up the receiver's address and dials it anew.
type connection struct {
	*grpc.ClientConn
	log *slog.Logger

	mu   sync.Mutex
	open []net.Conn // The newest, at most maxOpen.
	// answered is when the newest response came, unanswered how many requests were begun
	// since then and not answered in time.
	answered   time.Time
	unanswered int
}

const (
	// mostUnanswered is how many requests in a row may remain unanswered.
	mostUnanswered = 2
	// maxOpen is more than gRPC uses at a time.
	maxOpen = 8
)

// alive is how a sign of life is asked for, as the Collector's exporters do by default:
// only while a request waits, because servers close connections on which they are asked
// more often than every five minutes. They do not count while they respond.
var alive = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}

// dial prepares the connection; the first request opens it.
func dial(endpoint, agent string, security credentials.TransportCredentials, log *slog.Logger) (*connection, error) {
	address, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	c := &connection{log: log}
	// The default of gRPC waits up to two minutes between attempts.
	pause := backoff.DefaultConfig
	pause.MaxDelay = lastWait
	c.ClientConn, err = grpc.NewClient(address.Host,
		grpc.WithTransportCredentials(watched{security, c}),
		grpc.WithUserAgent(agent),
		grpc.WithKeepaliveParams(alive),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: 10 * time.Second}),
		grpc.WithStatsHandler(trailers{}),
	)
	return c, err
}

// call calls a method. fromReceiver is false if the status was not sent by a gRPC server:
// nothing was received, or an answer without a status, which a proxy on the way made.
func (c *connection) call(ctx context.Context, method string, request, reply any, options ...grpc.CallOption) (fromReceiver bool, err error) {
	begun := time.Now()
	var seen atomic.Bool
	err = c.Invoke(context.WithValue(ctx, trailers{}, &seen), method, request, reply, options...)
	s := status.Convert(err)
	// This is what gRPC makes of a response that lacks a status.
	fromReceiver = seen.Load() && (s.Code() != codes.Unknown || s.Message() != "")
	switch {
	case fromReceiver || s.Code() != codes.DeadlineExceeded && s.Code() != codes.Canceled:
		c.noteAnswer()
	case s.Code() == codes.DeadlineExceeded:
		c.noteSilence(begun)
	}
	return fromReceiver, err
}

// noteAnswer notes that something was received.
func (c *connection) noteAnswer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.unanswered = time.Now(), 0
}

// noteSilence notes a request that was not answered in time, and closes the connection
// after too many.
func (c *connection) noteSilence(begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answered.After(begun) {
		return // Others are answered.
	}
	if c.unanswered++; c.unanswered < mostUnanswered || len(c.open) == 0 {
		return
	}
	for _, conn := range c.open {
		_ = conn.Close()
	}
	c.open, c.unanswered = nil, 0
	c.log.Debug("nothing is answered on the connection to the receiver; closed it to dial anew")
}

// watched are credentials that note which connections are opened with them.
type watched struct {
	credentials.TransportCredentials
	by *connection
}

// ClientHandshake implements credentials.TransportCredentials.
func (w watched) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	w.by.mu.Lock()
	w.by.open = append(w.by.open, conn)
	w.by.open = w.by.open[max(0, len(w.by.open)-maxOpen):]
	w.by.mu.Unlock()
	return w.TransportCredentials.ClientHandshake(ctx, authority, conn)
}

// Clone implements credentials.TransportCredentials.
func (w watched) Clone() credentials.TransportCredentials {
	return watched{w.TransportCredentials.Clone(), w.by}
}

// trailers notes in the context of a call whether a gRPC server ended it with a status. It
// is the key of that note, too.
type trailers struct{}

// TagRPC implements stats.Handler.
func (trailers) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// TagConn implements stats.Handler.
func (trailers) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (trailers) HandleConn(context.Context, stats.ConnStats) {}

// HandleRPC implements stats.Handler. gRPC has no trailer if the status is its own.
func (trailers) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.InTrailer); !ok {
		return
	}
	if seen, ok := ctx.Value(trailers{}).(*atomic.Bool); ok {
		seen.Store(true)
	}
}
