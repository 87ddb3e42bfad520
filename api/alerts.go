package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/alerting"
	"sysotel/agent/query"
	"sysotel/instruments/sanitize"
)

// Alerting evaluates alert rules. Its errors are those of package alerting.
type Alerting interface {
	Alerts() []alerting.Alert
	History(ctx context.Context, query alerting.HistoryQuery) ([]alerting.Episode, error)
	Rules() []alerting.RuleStatus
	AddThreshold(ctx context.Context, t alerting.Threshold) (alerting.RuleStatus, error)
	ChangeThreshold(ctx context.Context, name string, t alerting.Threshold) (alerting.RuleStatus, error)
	RemoveThreshold(ctx context.Context, name string) error
	EnableRule(ctx context.Context, name string, enabled bool) (alerting.RuleStatus, error)
	AdjustRule(ctx context.Context, name string, by alerting.Adjustment) (alerting.RuleStatus, error)
	Export() ([]byte, error)
	Silences() []alerting.Silence
	AddSilence(ctx context.Context, silence alerting.Silence) (alerting.Silence, error)
	EndSilence(ctx context.Context, id string) error
	Preview(ctx context.Context, query alerting.PreviewQuery) (*alerting.Preview, error)
}

// Alerts is the response of /alerts.
type Alerts struct {
	At     time.Time        `json:"at" doc:"Time of the response."`
	Counts AlertCounts      `json:"counts" doc:"Number of alerts in each state, ignoring filters."`
	Alerts []alerting.Alert `json:"alerts" nullable:"false" doc:"Alerts, most severe state first, then newest first."`
}

// AlertCounts is how many alerts are in each state.
type AlertCounts struct {
	Firing   int `json:"firing" doc:"Firing alerts."`
	NoData   int `json:"no_data" doc:"Alerts that fired and have no data any more."`
	Pending  int `json:"pending" doc:"Alerts that do not fire yet."`
	Resolved int `json:"resolved" doc:"Alerts that ended within the last 15 minutes."`
}

// AlertsQuery has the parameters of /alerts.
type AlertsQuery struct {
	State    []string `query:"state,explode" enum:"pending,firing,no_data,resolved" doc:"Only alerts in this state; may be repeated."`
	Rule     string   `query:"rule" maxLength:"128" doc:"Only alerts of this rule."`
	Silenced string   `query:"silenced" enum:"true,false" doc:"Only silenced alerts, or only others."`
}

// AlertHistory is the response of /alerts/history.
type AlertHistory struct {
	Start    time.Time          `json:"start" doc:"Start of the time range."`
	End      time.Time          `json:"end" doc:"End of the time range."`
	Episodes []alerting.Episode `json:"episodes" nullable:"false" doc:"Alerts that fired within the time range, newest first."`
	Next     int64              `json:"next,omitempty" doc:"Value of before for the next page; absent on the last page."`
}

// AlertHistoryQuery has the parameters of /alerts/history.
type AlertHistoryQuery struct {
	Start  string `query:"start" maxLength:"64" example:"-7d" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default: -30d."`
	End    string `query:"end" maxLength:"64" doc:"End, in the format of start. Default: now."`
	Rule   string `query:"rule" maxLength:"128" doc:"Only alerts of this rule."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Maximum number of episodes per page."`
	Before int64  `query:"before" minimum:"0" doc:"Value of next in the previous page."`
}

type (
	alertsOutput       struct{ Body Alerts }
	alertHistoryOutput struct{ Body AlertHistory }
)

// alertPath is the common prefix of paths about alerts.
const alertPath = "/api/v1/alerts"

// Alerts registers the operations of this file.
func (operations) Alerts(s *Server) {
	register(s, Operation{
		ID: "list-alerts", Method: http.MethodGet, Path: alertPath, Table: "alerts",
		Summary: "List current alerts",
		Description: "Current alerts, including pending and recently resolved ones.\n\n" +
			"A firing alert without data is not resolved: it is held as `no_data` until data returns or the monitored object is removed.",
		Access: Access{Role: Viewer, Cost: Cheap}, Example: exampleAlerts(), Errors: []int{http.StatusServiceUnavailable},
	}, s.listAlerts)
	register(s, Operation{
		ID: "get-alert-history", Method: http.MethodGet, Path: alertPath + "/history", Table: "episodes",
		Summary:     "List past alerts",
		Description: "Every period in which an alert fired within a time range, newest first. Alerts that were only pending are not included.",
		Access:      Access{Role: Viewer, Cost: Query}, Example: exampleAlertHistory(), Errors: []int{http.StatusServiceUnavailable},
	}, s.alertHistory)
}

// alerting returns the Alerting, or the problem that there is none.
func (s *Server) alerting() (Alerting, error) {
	if s.options.Alerting == nil {
		return nil, notKept("alerts", "keeps no history")
	}
	return s.options.Alerting, nil
}

func (s *Server) listAlerts(_ context.Context, q *AlertsQuery) (*alertsOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	out := &alertsOutput{Alerts{At: s.now().UTC(), Alerts: []alerting.Alert{}}}
	for _, a := range alerts.Alerts() {
		switch a.State {
		case alerting.Firing:
			out.Body.Counts.Firing++
		case alerting.NoData:
			out.Body.Counts.NoData++
		case alerting.Pending:
			out.Body.Counts.Pending++
		case alerting.Resolved:
			out.Body.Counts.Resolved++
		}
		silenced := "false"
		if len(a.Silences) > 0 {
			silenced = "true"
		}
		if len(q.State) > 0 && !slices.Contains(q.State, a.State) || q.Rule != "" && q.Rule != a.Rule || q.Silenced != "" && q.Silenced != silenced {
			continue
		}
		out.Body.Alerts = append(out.Body.Alerts, a)
	}
	return out, nil
}

func (s *Server) alertHistory(ctx context.Context, q *AlertHistoryQuery) (*alertHistoryOutput, error) {
	alerts, err := s.alerting()
	if err != nil {
		return nil, err
	}
	start, end, invalid := timeRange(q.Start, q.End, 30*24*time.Hour, s.now().Truncate(time.Millisecond))
	if len(invalid) > 0 {
		return nil, problem(http.StatusUnprocessableEntity, invalidQuery, invalid...)
	}
	// One more shows whether there is another page.
	episodes, err := alerts.History(ctx, alerting.HistoryQuery{Start: start, End: end, Rule: q.Rule, Limit: q.Limit + 1, Before: q.Before})
	if err != nil {
		return nil, alertProblem(err)
	}
	page := AlertHistory{Start: start.UTC(), End: end.UTC(), Episodes: episodes}
	if len(episodes) > q.Limit {
		page.Episodes = episodes[:q.Limit]
		page.Next = page.Episodes[q.Limit-1].ID
	}
	if page.Episodes == nil {
		page.Episodes = []alerting.Episode{}
	}
	return &alertHistoryOutput{page}, nil
}

// alertProblem converts an error of package alerting to a problem. Internal errors
// are returned as they are, for the log.
func alertProblem(err error) error {
	var invalid alerting.ValidationErrors
	var query *query.Error
	switch {
	case errors.As(err, &invalid):
		details := make([]error, len(invalid))
		for i, m := range invalid {
			details[i] = invalidValue("body."+m.Field, sanitize.ValidUTF8(m.Value), sanitize.ValidUTF8(m.Rule))
		}
		return problem(http.StatusUnprocessableEntity, invalidBody+" Nothing was changed.", details...)
	case errors.Is(err, alerting.ErrUnknown):
		return problem(http.StatusNotFound, "There is no rule or silence of that name.")
	case errors.Is(err, alerting.ErrExists):
		return problem(http.StatusConflict, "Another rule has that name. Nothing was changed.")
	case errors.Is(err, alerting.ErrFixed):
		return problem(http.StatusConflict, "The rule comes from the configuration or a file: change it there, or disable it here.")
	case errors.As(err, &query):
		return historyProblem(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, "The agent is stopping, or the request took too long."), http.Header{"Retry-After": {"5"}})
	}
	return err
}

func exampleAlert() alerting.Alert {
	value := 91.5
	return alerting.Alert{
		Fingerprint: "5c1f9a0d7e24b386", Rule: "HighCPUUsage", State: alerting.Firing, Severity: "warning", Host: "server-01",
		Labels:      map[string]string{"alertname": "HighCPUUsage", "host_name": "server-01", "severity": "warning"},
		Annotations: map[string]string{"summary": "CPU usage of server-01 is 92 %"},
		Summary:     "CPU usage of server-01 is 92 %", Value: &value, Threshold: "> 80", Unit: "%",
		Since: exampleTime.Add(-7 * time.Minute), FiredAt: exampleTime.Add(-2 * time.Minute),
		Silences: []string{}, Channels: []string{}, Changes: 1,
		Link: "http://127.0.0.1:8080/?from=2026-02-02T10:18:00Z&to=2026-02-02T10:33:00Z&host=server-01",
	}
}

func exampleAlerts() Alerts {
	return Alerts{At: exampleTime, Counts: AlertCounts{Firing: 1}, Alerts: []alerting.Alert{exampleAlert()}}
}

func exampleAlertHistory() AlertHistory {
	a, ended := exampleAlert(), 61.5
	return AlertHistory{Start: exampleTime.Add(-30 * 24 * time.Hour), End: exampleTime, Episodes: []alerting.Episode{{
		ID: 17, Fingerprint: a.Fingerprint, Rule: a.Rule, State: alerting.Resolved, Severity: a.Severity, Host: a.Host, Labels: a.Labels, Summary: a.Summary,
		Since: a.Since.Add(-time.Hour), FiredAt: a.FiredAt.Add(-time.Hour), EndedAt: a.FiredAt.Add(-40 * time.Minute),
		Value: a.Value, EndValue: &ended, Threshold: a.Threshold, Unit: a.Unit, Notifications: 2,
	}}}
}
