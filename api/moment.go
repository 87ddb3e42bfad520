package api

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// maxRange is the longest time that one question may span. Nothing is kept for
// longer unless somebody asks for it, and even then it can be asked in parts.
const maxRange = 5 * 366 * 24 * time.Hour

// momentRule says what a time may look like.
const momentRule = "must be a time: RFC 3339 such as 2026-02-02T10:30:00Z, Unix seconds such as 1770028200, relative to now such as -15m or -7d, or now"

// parseMoment reads a time as people and programs write it.
func parseMoment(text string, now time.Time) (time.Time, bool) {
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
		// The years beyond are none that RFC 3339 can write.
		const year10000 = 253402300800
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || seconds >= year10000 {
			return time.Time{}, false
		}
		return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), true
	}
	// A + that was not written as %2B has become a space.
	t, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "+", 1))
	if err != nil || t.Year() < 1 || t.Year() > 9999 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// interval reads the start and the end of a question.
func interval(start, end string, ago time.Duration, now time.Time) (from, to time.Time, mistakes []error) {
	from, to = now.Add(-ago), now
	for _, one := range []struct {
		name, text string
		at         *time.Time
	}{{"start", start, &from}, {"end", end, &to}} {
		if one.text == "" {
			continue
		}
		t, ok := parseMoment(one.text, now)
		if !ok {
			mistakes = append(mistakes, mistake("query."+one.name, printable(one.text), momentRule))
		}
		*one.at = t
	}
	if mistakes != nil {
		return from, to, mistakes
	}
	switch {
	case !from.Before(to):
		mistakes = append(mistakes, mistake("query.start", printable(start), "must be before the end ("+to.UTC().Format(time.RFC3339)+"), but is "+from.UTC().Format(time.RFC3339)))
	case to.Sub(from) > maxRange:
		mistakes = append(mistakes, mistake("query.start", printable(start), "must be at most 1830 days before the end ("+to.UTC().Format(time.RFC3339)+")"))
	}
	return from, to, mistakes
}

// parseStep reads a time between two points.
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

// printable is what a caller sent as a problem can say it back.
func printable(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
