// Package alerting judges the machine by rules. Rules are those of Prometheus,
// in rule files or made of simple thresholds, and Prometheus' own rules library
// says which of them hold. What this package adds is what a monitor of one
// machine needs: that missing data resolves nothing, that a window which is only
// half filled fires nothing, that the state outlives the agent, silences,
// reminders, and a history.
//
// How people are told is no business of it: it hands notices to package notify.
package alerting

// DurationRule says what a duration of a rule may look like.
const DurationRule = "must be a duration such as 30s, 5m or 1h30m"
