package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/records"
	"sysotel/instruments/sanitize"
)

// Events is the response of /events.
type Events struct {
	Host   string    `json:"host" doc:"Host name."`
	Start  time.Time `json:"start" doc:"Start of the requested period."`
	End    time.Time `json:"end" doc:"End of the requested period, exclusive."`
	Events []Event   `json:"events" nullable:"false" doc:"Events, newest first."`
	Next   string    `json:"next,omitempty" doc:"Cursor for the next, older page; absent on the last page."`
}

// Event is an event of the machine or the agent.
type Event struct {
	ID      int64             `json:"id" doc:"ID that grows with each event; 0 while the event is still being written."`
	Time    time.Time         `json:"time" doc:"When it happened."`
	Kind    eventKind         `json:"kind" doc:"Kind of event."`
	Cause   string            `json:"cause" doc:"Cause, if known."`
	Subject string            `json:"subject" doc:"Subject of the event, such as a device, a process or a rule. Untrusted text: the name may have been chosen by anyone."`
	From    *time.Time        `json:"from" doc:"Start of an event that lasted, such as a gap."`
	To      *time.Time        `json:"to" doc:"End of an event that lasted."`
	Detail  map[string]string `json:"detail" doc:"Further details by name."`
}

// eventKind is a kind of event.
type eventKind string

// Schema implements huma.SchemaProvider.
func (eventKind) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, kind := range records.Kinds() {
		s.Enum = append(s.Enum, string(kind))
	}
	return s
}

// EventsQuery is the query of /events.
type EventsQuery struct {
	Start  string      `query:"start" maxLength:"64" example:"-30d" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default: -30d."`
	End    string      `query:"end" maxLength:"64" doc:"End, in the format of start. Default: now."`
	Kind   []eventKind `query:"kind,explode" doc:"Return only events of this kind; may be repeated."`
	Limit  int         `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Maximum number of events per page."`
	Cursor string      `query:"cursor" maxLength:"64" doc:"Value of next from the previous page. To continue where it ended, give start and end as absolute times."`
}

type eventsOutput struct{ Body *Events }

// Events registers the operations of this file.
func (operations) Events(s *Server) {
	register(s, Operation{
		ID: "get-events", Method: http.MethodGet, Path: "/api/v1/events", Table: "events",
		Summary: "List events",
		Description: "Events of the machine and the agent, newest first: starts and stops, reboots with their cause if known, gaps, clock steps, devices added and removed, processes killed by the OOM killer.\n\n" +
			"If the response has `next`, there are older events: pass it as `cursor`.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleEvents(),
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, q *EventsQuery) (*eventsOutput, error) {
		if s.options.Records == nil {
			return nil, notKept("events", "keeps no records")
		}
		start, end, invalid := timeRange(q.Start, q.End, 30*24*time.Hour, s.now().Truncate(time.Millisecond))
		kinds := make([]records.Kind, len(q.Kind))
		for i, kind := range q.Kind {
			kinds[i] = records.Kind(kind)
		}
		if len(invalid) > 0 {
			return nil, problem(http.StatusUnprocessableEntity, invalidQuery, invalid...)
		}
		page, err := s.options.Records.Events(ctx, records.EventQuery{Start: start, End: end, Kinds: kinds, Limit: q.Limit, Cursor: q.Cursor})
		if err != nil {
			return nil, recordsProblem(err, invalidValue("query.cursor", sanitize.ValidUTF8(q.Cursor), "must be the value of next from an earlier response"))
		}
		response := &Events{Host: s.options.Hostname, Start: start.UTC(), End: end.UTC(), Next: page.Next, Events: make([]Event, 0, len(page.Events))}
		for _, e := range page.Events {
			response.Events = append(response.Events, Event{
				ID: e.ID, Time: e.Time.UTC(), Kind: eventKind(e.Kind), Cause: e.Cause, Subject: e.Subject,
				From: utcPointer(e.From), To: utcPointer(e.To), Detail: e.Detail,
			})
		}
		return &eventsOutput{response}, nil
	})
}

// utcPointer is a time in UTC, nil if unknown.
func utcPointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// recordsProblem converts an error of package records to a problem; internal
// errors are returned unchanged.
func recordsProblem(err, wrongCursor error) error {
	switch {
	case errors.Is(err, records.ErrCursor):
		return problem(http.StatusUnprocessableEntity, invalidQuery, wrongCursor)
	case errors.Is(err, records.ErrTooMuch):
		return problem(http.StatusUnprocessableEntity, "The query cannot be answered: "+err.Error()+".")
	case errors.Is(err, records.ErrNoRecord):
		return problem(http.StatusNotFound, "There is no process table for that time: the agent was not running, or its records have expired.")
	case errors.Is(err, records.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, "The agent is shutting down, or the query took too long."), http.Header{"Retry-After": {"5"}})
	}
	return err
}

// exampleEvents is the example of the documentation.
func exampleEvents() *Events {
	from := exampleTime.Add(-3 * time.Minute)
	return &Events{
		Host: "server-01", Start: exampleTime.Add(-30 * 24 * time.Hour), End: exampleTime,
		Events: []Event{
			{ID: 1205, Time: exampleTime.Add(-time.Minute), Kind: eventKind(records.Reboot), Cause: "kernel update", Subject: "server-01", From: &from, To: utcPointer(exampleTime.Add(-time.Minute)), Detail: map[string]string{}},
			{ID: 1204, Time: exampleTime.Add(-time.Hour), Kind: eventKind(records.DeviceAdded), Subject: "sdb", Detail: map[string]string{"family": "disk"}},
		},
	}
}
