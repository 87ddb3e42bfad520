package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/records"
)

// Events is the answer of /events.
type Events struct {
	Host   string    `json:"host" doc:"Name of the machine."`
	Start  time.Time `json:"start" doc:"Start of the time asked for."`
	End    time.Time `json:"end" doc:"End of the time asked for; events at that very moment belong to the time after."`
	Events []Event   `json:"events" nullable:"false" doc:"What happened, the newest first."`
	Next   string    `json:"next,omitempty" doc:"Cursor of the page with the events before these; absent on the last page."`
}

// Event is something that happened to the machine or the agent.
type Event struct {
	ID      int64             `json:"id" doc:"Number that grows with each event; 0 for one that is still being written."`
	Time    time.Time         `json:"time" doc:"When it happened."`
	Kind    eventKind         `json:"kind" doc:"What kind of event it is."`
	Cause   string            `json:"cause" doc:"Why, where that is known."`
	Subject string            `json:"subject" doc:"What it happened to: a device, a process, a rule. Its name can have been chosen by anybody."`
	From    *time.Time        `json:"from" doc:"Start of what took time, such as a gap."`
	To      *time.Time        `json:"to" doc:"End of what took time."`
	Detail  map[string]string `json:"detail" doc:"What else is known, by name."`
}

// eventKind is a kind of event; its schema lists them all.
type eventKind string

// Schema implements huma.SchemaProvider.
func (eventKind) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, kind := range records.Kinds() {
		s.Enum = append(s.Enum, string(kind))
	}
	return s
}

// EventsQuery is what a caller asks.
type EventsQuery struct {
	Start  string      `query:"start" maxLength:"64" example:"-30d" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default -30d."`
	End    string      `query:"end" maxLength:"64" doc:"End, written like the start. Default now."`
	Kind   []eventKind `query:"kind,explode" doc:"Only events of this kind; may be repeated."`
	Limit  int         `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most events of one page."`
	Cursor string      `query:"cursor" maxLength:"64" doc:"What the page before gave as next. Start and end must be given as times, not relative to now, to go on where it ended."`
}

type eventsOutput struct{ Body *Events }

func (s *Server) registerEvents() {
	register(s, Operation{
		ID: "get-events", Method: http.MethodGet, Path: "/api/v1/events",
		Summary: "What happened",
		Description: "Events of the machine and of the agent, the newest first: starts and stops, reboots with their cause where it can be known, times that were missed, steps of the clock, devices that came and went, processes that were killed for want of memory.\n\n" +
			"An answer with `next` has more before it: ask again with `cursor`.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleEvents(),
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, q *EventsQuery) (*eventsOutput, error) {
		if s.options.Records == nil {
			return nil, notKept("events", "keeps no records")
		}
		start, end, mistakes := interval(q.Start, q.End, 30*24*time.Hour, time.Now().Truncate(time.Millisecond))
		kinds := make([]records.Kind, len(q.Kind))
		for i, kind := range q.Kind {
			kinds[i] = records.Kind(kind)
		}
		if len(mistakes) > 0 {
			return nil, problem(http.StatusUnprocessableEntity, "The request has a mistake in its query; errors says where.", mistakes...)
		}
		page, err := s.options.Records.Events(ctx, start, end, kinds, q.Limit, q.Cursor)
		if err != nil {
			return nil, recordsProblem(err, mistake("query.cursor", printable(q.Cursor), "must be what an earlier answer gave as next"))
		}
		answer := &Events{Host: s.options.Hostname, Start: start.UTC(), End: end.UTC(), Next: page.Next, Events: make([]Event, 0, len(page.Events))}
		for _, e := range page.Events {
			answer.Events = append(answer.Events, Event{
				ID: e.ID, Time: e.Time.UTC(), Kind: eventKind(e.Kind), Cause: e.Cause, Subject: e.Subject,
				From: moment(e.From), To: moment(e.To), Detail: e.Detail,
			})
		}
		return &eventsOutput{answer}, nil
	})
}

// moment is a time in UTC, nil where it is not known.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// recordsProblem turns an error of the records into a problem; what went wrong
// inside stays an error for the log.
func recordsProblem(err, wrongCursor error) error {
	switch {
	case errors.Is(err, records.ErrCursor):
		return problem(http.StatusUnprocessableEntity, "The request has a mistake in its query; errors says where.", wrongCursor)
	case errors.Is(err, records.ErrTooMuch):
		return problem(http.StatusUnprocessableEntity, "This cannot be answered: "+err.Error()+".")
	case errors.Is(err, records.ErrNoRecord):
		return problem(http.StatusNotFound, "No process table of that time is kept: the agent did not run, or it was so long ago that its records are deleted.")
	case errors.Is(err, records.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, "The agent is stopping, or the answer took too long."), http.Header{"Retry-After": {"5"}})
	}
	return err
}

// exampleEvents is what the documentation shows.
func exampleEvents() *Events {
	from := exampleTime.Add(-3 * time.Minute)
	return &Events{
		Host: "server-01", Start: exampleTime.Add(-30 * 24 * time.Hour), End: exampleTime,
		Events: []Event{
			{ID: 1205, Time: exampleTime.Add(-time.Minute), Kind: eventKind(records.Reboot), Cause: "kernel update", Subject: "server-01", From: &from, To: moment(exampleTime.Add(-time.Minute)), Detail: map[string]string{}},
			{ID: 1204, Time: exampleTime.Add(-time.Hour), Kind: eventKind(records.DeviceAdded), Subject: "sdb", Detail: map[string]string{"family": "disk"}},
		},
	}
}
