package difftest

import (
	"math"
	"math/rand/v2"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
)

// course returns the value of a series at the next second, NaN while it does not exist.
type course func() float64

// made is a series with its course.
type made struct {
	series
	course course
}

// all are the series of a history.
func all(r *rand.Rand) []made {
	var list []made
	add := func(kind store.Kind, name, minName, maxName string, c course, pairs ...string) {
		l := labels.FromStrings(append([]string{"__name__", name, "host_name", "h"}, pairs...)...)
		list = append(list, made{series{l, kind, minName, maxName}, c})
	}
	gauge := func(i string, c course) { add(store.Gauge, "g", "g_min", "g_max", c, "i", i) }
	counter := func(i string, c course) {
		add(store.Counter, "c_total", "c_rate_min", "c_rate_max", c, "i", i)
	}
	gauge("walk", walk(r))
	gauge("alternating", alternating())
	gauge("guest", comesAndGoes(r, walk(r)))
	gauge("steps", stepping(r))
	add(store.Gauge, "limit", "limit_min", "limit_max", constant(80), "i", "walk")
	add(store.Gauge, "limit", "limit_min", "limit_max", constant(50), "i", "alternating")
	counter("steady", counting(r, 0, 100))
	counter("bursts", counting(r, 200, 1e6))
	counter("resets", resetting(r, counting(r, 0, 100)))
	counter("guest", comesAndGoes(r, counting(r, 3, 40)))
	counter("idle", constant(12_345))
	buckets := histogram(r)
	for i, bound := range []string{"0.1", "1", "+Inf"} {
		add(store.Counter, "h_seconds_bucket", "h_seconds_bucket_rate_min", "h_seconds_bucket_rate_max", buckets[i], "le", bound)
	}
	add(store.Counter, "h_seconds_count", "h_seconds_count_rate_min", "h_seconds_count_rate_max", buckets[3])
	return list
}

func constant(v float64) course { return func() float64 { return v } }

// walk goes up and down between 0 and 100.
func walk(r *rand.Rand) course {
	v := 100 * r.Float64()
	return func() float64 {
		v = min(max(v+4*r.NormFloat64(), 0), 100)
		return math.Round(100*v) / 100
	}
}

// alternating is 0 and 100 in turn.
func alternating() course {
	v := 0.0
	return func() float64 {
		v = 100 - v
		return v
	}
}

// stepping changes once in some minutes, also below zero.
func stepping(r *rand.Rand) course {
	v := 0.0
	return func() float64 {
		if r.IntN(200) == 0 {
			v = math.Round(200*r.Float64() - 100)
		}
		return v
	}
}

// counting adds up to a most each second, or once in so many seconds on average.
func counting(r *rand.Rand, once int, most float64) course {
	v := math.Round(1e6 * r.Float64())
	return func() float64 {
		if once == 0 || r.IntN(once) == 0 {
			v += math.Round(most * r.Float64())
		}
		return v
	}
}

// resetting counts from zero again, once in a quarter of an hour on average.
func resetting(r *rand.Rand, inner course) course {
	zero := 0.0
	return func() float64 {
		v := inner()
		if r.IntN(900) == 0 {
			zero = v
		}
		return v - zero
	}
}

// comesAndGoes exists for a time, then does not: for seconds or for half hours.
func comesAndGoes(r *rand.Rand, inner course) course {
	exists, left := false, 0
	return func() float64 {
		v := inner()
		if left--; left < 0 {
			exists, left = !exists, int(math.Exp(1+r.Float64()*6.5))
		}
		if !exists {
			return math.NaN()
		}
		return v
	}
}

// histogram are the buckets of a classic histogram, its upper bounds in order, and its
// count.
func histogram(r *rand.Rand) [4]course {
	var counts [4]float64
	draw := func() {
		for range r.IntN(6) {
			for j := min(r.IntN(6), 2); j < len(counts); j++ {
				counts[j]++
			}
		}
	}
	var all [4]course
	for i := range all {
		all[i] = func() float64 {
			if i == 0 {
				draw()
			}
			return counts[i]
		}
	}
	return all
}
