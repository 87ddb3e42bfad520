package app

import (
	"fmt"
	"log/slog"
	"os"

	"gopkg.in/natefinch/lumberjack.v2"
)

// openLog opens the configured log. Both formats quote special characters, so that a
// process name cannot forge a line or move a terminal's cursor.
func (a *App) openLog(o Options) error {
	c := o.Config.Log
	a.level = new(slog.LevelVar)
	a.level.Set(level(c.Level))
	if o.Log != nil {
		a.log = o.Log
		return nil
	}
	out := newLogWriter(os.Stderr, "standard error")
	if c.File != "" {
		// lumberjack would not report an unwritable directory before the first line.
		f, err := os.OpenFile(c.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("log.file: %w", err)
		}
		_ = f.Close()
		rotated := &lumberjack.Logger{Filename: c.File, MaxSize: 10, MaxBackups: 5, Compress: true}
		a.closers = append(a.closers, rotated.Close)
		out = newLogWriter(rotated, c.File)
	}
	options := &slog.HandlerOptions{Level: a.level}
	if c.Format == "json" {
		a.log = slog.New(slog.NewJSONHandler(out, options))
	} else {
		a.log = slog.New(slog.NewTextHandler(out, options))
	}
	a.written, out.tell = out, tellLost(a.log)
	return nil
}

// level returns the slog level of a configured word.
func level(word string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(word)); err != nil {
		return slog.LevelInfo // unreachable: Validate refuses other words
	}
	return l
}
