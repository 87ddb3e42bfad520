package store

import (
	"context"
	"log/slog"
)

// libraryLog hands on what the database library logs. At level info it tells of
// every step of a replay, in every tier at every start; whoever runs the agent
// wants to know what went wrong. So only warnings pass, unless the log takes
// debug lines.
type libraryLog struct{ slog.Handler }

func newLibraryLog(log *slog.Logger) *slog.Logger {
	return slog.New(libraryLog{log.Handler()})
}

// Enabled holds back what is below a warning while nobody debugs.
func (l libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelWarn && !l.Handler.Enabled(ctx, slog.LevelDebug) {
		return false
	}
	return l.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the limit on the logger that it makes.
func (l libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the limit on the logger that it makes.
func (l libraryLog) WithGroup(name string) slog.Handler {
	return libraryLog{l.Handler.WithGroup(name)}
}
