package api

import (
	"context"
	"net/http"
	"time"

	"sysotel/agent/alerting"
	"sysotel/instruments/sanitize"
)

// Silences is the response of /alerts/silences.
type Silences struct {
	Silences []alerting.Silence `json:"silences" nullable:"false" doc:"Silences, newest first."`
}

// SilenceRequest is a silence to create.
type SilenceRequest struct {
	Start    string             `json:"start,omitempty" maxLength:"64" doc:"Start: RFC 3339 or Unix seconds. Default: now." example:"2026-02-02T22:00:00Z"`
	End      time.Time          `json:"end" doc:"End, RFC 3339." example:"2026-02-03T02:00:00Z"`
	Matchers []alerting.Matcher `json:"matchers" nullable:"false" minItems:"1" maxItems:"32" doc:"Matchers for the labels of alerts; all must match. They must not match every alert."`
	Comment  string             `json:"comment" minLength:"1" maxLength:"1024" doc:"Reason for the silence." example:"the disks are exchanged"`
}

type (
	silencesOutput struct{ Body Silences }
	silenceOutput  struct{ Body alerting.Silence }
	silenceInput   struct{ Body SilenceRequest }
	silenceIDInput struct {
		ID string `path:"id" maxLength:"64" doc:"ID of the silence."`
	}
)

// AlertSilences registers the operations of this file.
func (operations) AlertSilences(s *Server) {
	const path = alertPath + "/silences"
	example := alerting.Silence{
		ID: "8f3a5c0e91d2", Start: exampleTime, End: exampleTime.Add(4 * time.Hour), Author: "grace", Comment: "the disks are exchanged", Created: exampleTime, State: "active",
		Matchers: []alerting.Matcher{{Name: "alertname", Op: "=", Value: "DataDiskFull"}},
	}
	register(s, Operation{
		ID: "list-silences", Method: http.MethodGet, Path: path, Table: "silences",
		Summary: "List silences", Description: "Active and pending silences, and those that expired in the last 5 days.",
		Access: Access{Role: Viewer, Cost: Cheap}, Example: Silences{[]alerting.Silence{example}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*silencesOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		return &silencesOutput{Silences{append([]alerting.Silence{}, alerts.Silences()...)}}, nil
	})
	register(s, Operation{
		ID: "add-silence", Method: http.MethodPost, Path: path,
		Summary: "Create a silence",
		Description: "Suppresses notifications of matching alerts; those that still fire at its end are sent then. " +
			"Recovery notifications for alerts already sent are still delivered. The author is the caller.",
		Access: Access{Role: Admin, Cost: Query}, Example: example, Errors: []int{http.StatusServiceUnavailable},
	}, s.addSilence)
	register(s, Operation{
		ID: "end-silence", Method: http.MethodDelete, Path: path + "/{id}",
		Summary: "End a silence", Description: "Ends an active silence now, or cancels a pending one.",
		Access: Access{Role: Admin, Cost: Query}, Example: Done{true}, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *silenceIDInput) (*doneOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		if err := alerts.EndSilence(ctx, in.ID); err != nil {
			return nil, alertProblem(err)
		}
		s.audit(callerOf(ctx).did("end silence", in.ID))
		return &doneOutput{Body: Done{true}}, nil
	})
}

func (s *Server) addSilence(ctx context.Context, in *silenceInput) (*silenceOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	now := s.now()
	start := now
	if in.Body.Start != "" {
		at, ok := parseTime(in.Body.Start, now)
		if !ok {
			return nil, problem(http.StatusUnprocessableEntity, invalidBody,
				invalidValue("body.start", sanitize.ValidUTF8(in.Body.Start), timeRule))
		}
		start = at
	}
	caller := callerOf(ctx)
	author := caller.Identity.Name
	if author == "" {
		author = caller.auditEntry().Kind
	}
	silence, err := alerts.AddSilence(ctx, alerting.Silence{Start: start, End: in.Body.End, Matchers: in.Body.Matchers, Author: author, Comment: in.Body.Comment})
	if err != nil {
		return nil, alertProblem(err)
	}
	s.audit(caller.did("add silence", silence.ID))
	return &silenceOutput{silence}, nil
}
