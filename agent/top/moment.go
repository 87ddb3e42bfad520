package top

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// ParseMoment reads a time in the past as people write it: 03:00 or 03:00:15, the
// last time that the clock showed it; 2026-11-29 03:00; RFC 3339; Unix seconds;
// -15m or -7d, relative to now. It is of whole seconds, in the zone of now.
func ParseMoment(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	zone := now.Location()
	t, ok := time.Time{}, false
	if ago, relative := strings.CutPrefix(text, "-"); relative {
		d, err := model.ParseDuration(ago)
		t, ok = now.Add(-time.Duration(d)), err == nil && d > 0
	} else if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 1e8 && n < 1e11 {
		t, ok = time.Unix(n, 0).In(zone), true
	} else {
		t, ok = clockTime(text, now)
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
			if !ok {
				parsed, err := time.ParseInLocation(layout, text, zone)
				t, ok = parsed.In(zone), err == nil
			}
		}
	}
	if !ok {
		return time.Time{}, fmt.Errorf("%q is no time: write 03:00, 03:00:15, 2026-11-29 03:00, 2026-11-29T03:00:00Z, or -15m", text)
	}
	if t.After(now) {
		return time.Time{}, fmt.Errorf("%q is in the future: it is %s", text, now.Format("2006-01-02 15:04:05 MST"))
	}
	return t.Truncate(time.Second), nil
}

// clockTime is the last moment at which the clock showed a time of day.
func clockTime(text string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		clock, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		of := func(day int) time.Time {
			return time.Date(now.Year(), now.Month(), day, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
		}
		if t := of(now.Day()); !t.After(now) {
			return t, true
		}
		return of(now.Day() - 1), true
	}
	return time.Time{}, false
}
