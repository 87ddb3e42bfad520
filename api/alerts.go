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
)

// Alerting judges the machine by rules. Its errors are those of package alerting.
type Alerting interface {
	Alerts() []alerting.Alert
	History(ctx context.Context, query alerting.HistoryQuery) ([]alerting.Episode, error)
	Rules() []alerting.RuleStatus
	AddThreshold(ctx context.Context, t alerting.Threshold) (alerting.RuleStatus, error)
	ChangeThreshold(ctx context.Context, name string, t alerting.Threshold) (alerting.RuleStatus, error)
	RemoveThreshold(ctx context.Context, name string) error
	EnableRule(ctx context.Context, name string, enabled bool) (alerting.RuleStatus, error)
	Export() ([]byte, error)
	Silences() []alerting.Silence
	AddSilence(ctx context.Context, silence alerting.Silence) (alerting.Silence, error)
	EndSilence(ctx context.Context, id string) error
	Preview(ctx context.Context, query alerting.PreviewQuery) (*alerting.Preview, error)
}

// Alerts is the answer of /alerts.
type Alerts struct {
	At     time.Time        `json:"at" doc:"Time of the answer."`
	Counts AlertCounts      `json:"counts" doc:"How many there are of each state, also of those that were not asked for."`
	Alerts []alerting.Alert `json:"alerts" nullable:"false" doc:"The alerts, the gravest state first, then the newest."`
}

// AlertCounts is how many alerts are in each state.
type AlertCounts struct {
	Firing   int `json:"firing" doc:"Those that fire."`
	NoData   int `json:"no_data" doc:"Those that fired, and of which nothing is measured any more."`
	Pending  int `json:"pending" doc:"Those that do not fire yet."`
	Resolved int `json:"resolved" doc:"Those that were over within the last 15 minutes."`
}

// AlertsQuery is what a caller asks.
type AlertsQuery struct {
	State    []string `query:"state,explode" enum:"pending,firing,no_data,resolved" doc:"Only alerts in this state; may be repeated."`
	Rule     string   `query:"rule" maxLength:"128" doc:"Only alerts of this rule."`
	Silenced string   `query:"silenced" enum:"true,false" doc:"Only alerts that are silenced, or only those that are not."`
}

// AlertHistory is the answer of /alerts/history.
type AlertHistory struct {
	Start    time.Time          `json:"start" doc:"Start of the time asked for."`
	End      time.Time          `json:"end" doc:"End of the time asked for."`
	Episodes []alerting.Episode `json:"episodes" nullable:"false" doc:"What fired within that time, the newest first."`
	Next     int64              `json:"next,omitempty" doc:"What to ask with as before for the page after; absent on the last page."`
}

// AlertHistoryQuery is what a caller asks.
type AlertHistoryQuery struct {
	Start  string `query:"start" maxLength:"64" example:"-7d" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default -30d."`
	End    string `query:"end" maxLength:"64" doc:"End, written like the start. Default now."`
	Rule   string `query:"rule" maxLength:"128" doc:"Only alerts of this rule."`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most episodes of one page."`
	Before int64  `query:"before" minimum:"0" doc:"What the page before gave as next."`
}

type (
	alertsOutput       struct{ Body Alerts }
	alertHistoryOutput struct{ Body AlertHistory }
)

// alertPath is where everything about alerts begins.
const alertPath = "/api/v1/alerts"

func (s *Server) registerAlerts() {
	register(s, Operation{
		ID: "list-alerts", Method: http.MethodGet, Path: alertPath,
		Summary: "The alerts of now",
		Description: "What the rules find at the moment, pending alerts and those that were just resolved among them.\n\n" +
			"An alert of which nothing is measured any more is not resolved: it is held as `no_data` until there is a reading again, or the thing itself is gone.",
		Access: Access{Role: Viewer, Cost: Cheap}, Example: exampleAlerts(), Errors: []int{http.StatusServiceUnavailable},
	}, s.listAlerts)
	register(s, Operation{
		ID: "get-alert-history", Method: http.MethodGet, Path: alertPath + "/history",
		Summary:     "What fired",
		Description: "Every alert that fired within a time, from its beginning to its end, the newest first. Alerts that were pending only are not in it.",
		Access:      Access{Role: Viewer, Cost: Query}, Example: exampleAlertHistory(), Errors: []int{http.StatusServiceUnavailable},
	}, s.alertHistory)
	s.registerAlertRules()
	s.registerPreview()
	s.registerSilences()
	s.registerChannels()
}

// alerting is what judges the machine.
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
	out := &alertsOutput{Alerts{At: time.Now().UTC(), Alerts: []alerting.Alert{}}}
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
	start, end, mistakes := interval(q.Start, q.End, 30*24*time.Hour, time.Now().Truncate(time.Millisecond))
	if len(mistakes) > 0 {
		return nil, problem(http.StatusUnprocessableEntity, "The query has invalid parameters; see errors.", mistakes...)
	}
	// One more tells whether there is another page.
	episodes, err := alerts.History(ctx, alerting.HistoryQuery{Start: start, End: end, Rule: q.Rule, Limit: q.Limit + 1, Before: q.Before})
	if err != nil {
		return nil, alertProblem(err)
	}
	answer := AlertHistory{Start: start.UTC(), End: end.UTC(), Episodes: episodes}
	if len(episodes) > q.Limit {
		answer.Episodes = episodes[:q.Limit]
		answer.Next = answer.Episodes[q.Limit-1].ID
	}
	if answer.Episodes == nil {
		answer.Episodes = []alerting.Episode{}
	}
	return &alertHistoryOutput{answer}, nil
}

// alertProblem turns an error of the alerting into a problem; what went wrong
// inside stays an error for the log.
func alertProblem(err error) error {
	var mistakes alerting.Mistakes
	var query *query.QueryError
	switch {
	case errors.As(err, &mistakes):
		details := make([]error, len(mistakes))
		for i, m := range mistakes {
			details[i] = mistake("body."+m.Field, printable(m.Value), printable(m.Rule))
		}
		return problem(http.StatusUnprocessableEntity, "The body has invalid fields; see errors. Nothing was changed.", details...)
	case errors.Is(err, alerting.ErrUnknown):
		return problem(http.StatusNotFound, "There is nothing of that name.")
	case errors.Is(err, alerting.ErrExists):
		return problem(http.StatusConflict, "Another rule has that name. Nothing was changed.")
	case errors.Is(err, alerting.ErrFixed):
		return problem(http.StatusConflict, "The rule stands in the configuration or in a file: change it there, or disable it here.")
	case errors.As(err, &query):
		return historyProblem(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, "The agent is stopping, or the answer took too long."), http.Header{"Retry-After": {"5"}})
	}
	return err
}

func exampleAlert() alerting.Alert {
	value := 91.5
	return alerting.Alert{
		Fingerprint: "5c1f9a0d7e24b386", Rule: "HighCPUUsage", State: alerting.Firing, Severity: "warning", Host: "server-01",
		Labels:      map[string]string{"alertname": "HighCPUUsage", "host_name": "server-01", "severity": "warning"},
		Annotations: map[string]string{"summary": "The processors of server-01 are 92 % busy"},
		Summary:     "The processors of server-01 are 92 % busy", Value: &value, Threshold: "> 80", Unit: "%",
		Since: exampleTime.Add(-7 * time.Minute), FiredAt: exampleTime.Add(-2 * time.Minute),
		Silences: []string{}, Channels: []string{}, Changes: 1,
		Link: "http://127.0.0.1:8080/?from=2026-02-02T10:18:00Z&to=2026-02-02T10:33:00Z&host=server-01",
	}
}

func exampleAlerts() Alerts {
	return Alerts{At: exampleTime, Counts: AlertCounts{Firing: 1}, Alerts: []alerting.Alert{exampleAlert()}}
}

func exampleAlertHistory() AlertHistory {
	a := exampleAlert()
	return AlertHistory{Start: exampleTime.Add(-30 * 24 * time.Hour), End: exampleTime, Episodes: []alerting.Episode{{
		ID: 17, Fingerprint: a.Fingerprint, Rule: a.Rule, State: alerting.Resolved, Severity: a.Severity, Host: a.Host, Labels: a.Labels, Summary: a.Summary,
		Since: a.Since.Add(-time.Hour), FiredAt: a.FiredAt.Add(-time.Hour), EndedAt: a.FiredAt.Add(-40 * time.Minute),
		Value: a.Value, Threshold: a.Threshold, Unit: a.Unit, Told: 2,
	}}}
}
