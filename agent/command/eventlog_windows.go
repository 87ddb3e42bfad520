package command

import (
	"bytes"
	"regexp"

	"golang.org/x/sys/windows/svc/eventlog"
)

// eventWriter writes each line to Windows' event log, as an event of a kind or, if that
// is 0, of the kind that its level says.
type eventWriter struct {
	log  *eventlog.Log
	kind uint16
}

// maxEvent bounds an event's text: Windows takes 31,839 characters.
const maxEvent = 16 << 10

// The IDs of events, by which they are filtered.
const (
	infoEvent = 1 + iota
	warningEvent
	errorEvent
)

// Write implements io.Writer.
func (w eventWriter) Write(line []byte) (int, error) {
	kind := w.kind
	if kind == 0 {
		kind = eventKind(line)
	}
	text := bytes.TrimSpace(bytes.ReplaceAll(line, []byte{0}, nil))
	text = text[:min(len(text), maxEvent)]
	var err error
	switch kind {
	case eventlog.Error:
		err = w.log.Error(errorEvent, string(text))
	case eventlog.Warning:
		err = w.log.Warning(warningEvent, string(text))
	default:
		err = w.log.Info(infoEvent, string(text))
	}
	if err != nil {
		return 0, err
	}
	return len(line), nil
}

// levels finds the level of a line of the log, text or JSON, where slog writes it: what
// comes later may be hostile.
var levels = regexp.MustCompile(`^(?:time=\S+ |\{"time":"[^"]*",)"?level"?[=:]"?(WARN|ERROR)`)

// eventKind is the kind of event that a line of the log is.
func eventKind(line []byte) uint16 {
	found := levels.FindSubmatch(line)
	switch {
	case found == nil:
		return eventlog.Info
	case string(found[1]) == "WARN":
		return eventlog.Warning
	}
	return eventlog.Error
}
