package api

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/common/model"

	"sysotel/agent/alerting"
	"sysotel/instruments/sanitize"
)

// PreviewRequest selects a rule and a past time range.
type PreviewRequest struct {
	Threshold *alerting.Threshold `json:"threshold,omitempty" doc:"Threshold to evaluate. Instead of expr."`
	Expr      string              `json:"expr,omitempty" maxLength:"16384" doc:"PromQL condition, as in a rule file. Instead of threshold." example:"100 * sysotel_cpu_usage_ratio > 80"`
	For       string              `json:"for,omitempty" maxLength:"32" doc:"How long the condition must hold before it fires. With expr only." example:"5m"`
	Start     string              `json:"start,omitempty" maxLength:"64" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default: -7d." example:"-7d"`
	End       string              `json:"end,omitempty" maxLength:"64" doc:"End, in the format of start. Default: now."`
}

type (
	previewInput  struct{ Body PreviewRequest }
	previewOutput struct{ Body *alerting.Preview }
)

// AlertPreview registers the operations of this file.
func (operations) AlertPreview(s *Server) {
	register(s, Operation{
		ID: "preview-alert", Method: http.MethodPost, Path: alertPath + "/preview",
		Summary:     "Preview a rule",
		Description: "Evaluates a rule on stored history and returns how often and when it would have fired. Changes nothing and sends no notifications.",
		Access:      Access{Role: Viewer, Cost: Query, Harmless: "it only evaluates"}, Example: examplePreview(), Errors: []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *previewInput) (*previewOutput, error) {
		alerts, err := s.alerting()
		if err != nil {
			return nil, err
		}
		start, end, invalid := timeRange(in.Body.Start, in.Body.End, 7*24*time.Hour, s.now().Truncate(time.Second))
		query := alerting.PreviewQuery{Threshold: in.Body.Threshold, Expr: in.Body.Expr, Start: start, End: end}
		if in.Body.For != "" {
			hold, err := model.ParseDuration(in.Body.For)
			if err != nil {
				invalid = append(invalid, invalidValue("body.for", sanitize.ValidUTF8(in.Body.For), alerting.DurationRule))
			}
			query.For = time.Duration(hold)
		}
		if (query.Threshold == nil) == (query.Expr == "") {
			invalid = append(invalid, invalidValue("body", "", "must have either threshold or expr"))
		}
		if len(invalid) > 0 {
			return nil, problem(http.StatusUnprocessableEntity, invalidBody, invalid...)
		}
		preview, err := alerts.Preview(ctx, query)
		if err != nil {
			return nil, alertProblem(err)
		}
		return &previewOutput{preview}, nil
	})
}

func examplePreview() *alerting.Preview {
	value := 97.2
	return &alerting.Preview{
		Expr: "100 * avg_over_time(sysotel_cpu_usage_ratio[15s:1s]) > 80", For: "5m", Start: exampleTime.Add(-7 * 24 * time.Hour), End: exampleTime, Step: 15,
		Tiers: []alerting.PreviewTier{
			{Tier: "1m", Step: 60, From: exampleTime.Add(-7 * 24 * time.Hour), To: exampleTime.Add(-24 * time.Hour)},
			{Tier: "1s", Step: 15, From: exampleTime.Add(-24 * time.Hour), To: exampleTime},
		}, Count: 1, Seconds: 1200,
		Firings: []alerting.PreviewFiring{{
			Labels: map[string]string{"host_name": "server-01"}, Since: exampleTime.Add(-80 * time.Minute), From: exampleTime.Add(-75 * time.Minute),
			To: exampleTime.Add(-55 * time.Minute), Value: &value,
		}},
		MeasuredFrom: exampleTime.Add(-7 * 24 * time.Hour),
	}
}
