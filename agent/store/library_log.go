package store

import (
	"context"
	"log/slog"
)

// libraryLog filters the log of the database library. At level info it logs every
// step of a replay, for every tier at every start; only warnings pass, unless debug
// is enabled.
type libraryLog struct{ slog.Handler }

func newLibraryLog(log *slog.Logger) *slog.Logger {
	return slog.New(libraryLog{log.Handler()})
}

// Enabled drops levels below warning unless debug is enabled.
func (l libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	if level < slog.LevelWarn && !l.Handler.Enabled(ctx, slog.LevelDebug) {
		return false
	}
	return l.Handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l libraryLog) WithGroup(name string) slog.Handler {
	return libraryLog{l.Handler.WithGroup(name)}
}
