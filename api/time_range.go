package api

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"sysotel/instruments/sanitize"
)

// maxRange is the longest time range of one query. The default retention is
// shorter; a longer history can be queried in parts.
const maxRange = 5 * 366 * 24 * time.Hour

// timeRule describes the accepted formats of a time.
const timeRule = "must be a time: RFC 3339 such as 2026-02-02T10:30:00Z, Unix seconds such as 1770028200, relative to now such as -15m or -7d, or now"

// parseTime parses a time: RFC 3339, Unix seconds, relative to now, or "now".
func parseTime(text string, now time.Time) (time.Time, bool) {
	if text == "now" {
		return now, true
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		d, err := model.ParseDuration(ago)
		if err != nil || ago == "0" {
			return time.Time{}, false
		}
		return now.Add(-time.Duration(d)), true
	}
	if strings.Trim(text, "0123456789.") == "" {
		// RFC 3339 has no years beyond 9999.
		const year10000 = 253402300800
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || seconds >= year10000 {
			return time.Time{}, false
		}
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), true
	}
	// A + that was not encoded as %2B has become a space.
	t, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1))
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// timeRange parses start and end; without start the range begins ago before now.
func timeRange(start, end string, ago time.Duration, now time.Time) (from, to time.Time, invalid []error) {
	from, to = now.Add(-ago), now
	for _, parameter := range []struct {
		name, text string
		at         *time.Time
	}{{"start", start, &from}, {"end", end, &to}} {
		if parameter.text == "" {
			continue
		}
		t, ok := parseTime(parameter.text, now)
		if !ok {
			invalid = append(invalid, invalidValue("query."+parameter.name, sanitize.ValidUTF8(parameter.text), timeRule))
		}
		*parameter.at = t
	}
	if invalid != nil {
		return from, to, invalid
	}
	switch {
	case !from.Before(to):
		invalid = append(invalid, invalidValue("query.start", sanitize.ValidUTF8(start), "must be before the end ("+to.UTC().Format(time.RFC3339)+"), but is "+from.UTC().Format(time.RFC3339)))
	case to.Sub(from) > maxRange:
		invalid = append(invalid, invalidValue("query.start", sanitize.ValidUTF8(start), "must be at most 1830 days before the end ("+to.UTC().Format(time.RFC3339)+")"))
	}
	return from, to, invalid
}

// parseStep parses the time between two points: a duration or seconds.
func parseStep(text string) (time.Duration, bool) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0.001 && seconds <= maxRange.Seconds()) {
			return 0, false
		}
		return time.Duration(seconds * float64(time.Second)), true
	}
	d, err := model.ParseDuration(text)
	return time.Duration(d), err == nil && d > 0 && time.Duration(d) <= maxRange
}
