package alerting

import "time"

// PreviewQuery asks how a rule would have fared. Either Threshold or Expr is set.
type PreviewQuery struct {
	Threshold *Threshold
	Expr      string
	For       time.Duration
	Start     time.Time
	End       time.Time
}

// Preview is how often and when a rule would have fired.
type Preview struct {
	Expr    string          `json:"expr" doc:"PromQL that was evaluated."`
	For     string          `json:"for" doc:"How long the condition had to hold."`
	Start   time.Time       `json:"start" doc:"Start of the time asked for."`
	End     time.Time       `json:"end" doc:"End of the time asked for."`
	Step    float64         `json:"step" doc:"Seconds between two evaluations. Where the time is long it is longer than the 15 s of the running rules; then what was shorter than a step can be missed."`
	Tiers   []PreviewTier   `json:"tiers" nullable:"false" doc:"Which tier answered for which part of the time. A coarse tier has averages: a short excess shows only in a finer one."`
	Count   int             `json:"count" doc:"How often it would have fired."`
	Seconds float64         `json:"seconds" doc:"For how long in all."`
	Firings []PreviewFiring `json:"firings" nullable:"false" doc:"When, the newest first; at most 1000."`
}

// PreviewTier is a part of the time that one tier answered for.
type PreviewTier struct {
	Tier string    `json:"tier" doc:"Resolution of the tier."`
	From time.Time `json:"from" doc:"Its first step."`
	To   time.Time `json:"to" doc:"Its last step."`
}

// PreviewFiring is a time in which the rule would have fired.
type PreviewFiring struct {
	Labels map[string]string `json:"labels" doc:"What it would have been about."`
	Since  time.Time         `json:"since" doc:"When the condition began to hold."`
	From   time.Time         `json:"from" doc:"When it would have fired."`
	To     time.Time         `json:"to,omitzero" doc:"When it would have been over; absent where it would still fire at the end."`
	Value  *float64          `json:"value" doc:"The greatest value in that time, or the least where less is worse."`
}
