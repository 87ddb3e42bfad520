package app

import (
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
	if o.Stderr != nil {
		out = newLogWriter(o.Stderr, "the system's log")
	}
	if c.File != "" {
		if err := tryLogFile(c.File); err != nil {
			return err
		}
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

// tryLogFile opens the log file, because lumberjack would not report a directory that
// cannot be written before the first line.
func tryLogFile(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// level returns the slog level of a configured word.
func level(word string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(word)); err != nil {
		return slog.LevelInfo // unreachable: Validate refuses other words
	}
	return l
}
