package query

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// shape is an upper bound of what a part of the expression returns.
type shape struct {
	series, points float64
	// width is the length of the labels of one series, text that of all.
	width, text float64
	// lists are the selected series that it is made of; labels that are not in over
	// are theirs.
	lists [][]storage.Series
	// over are the lengths of labels that functions made.
	over map[string]float64
	// exact is set if the labels of each series are those of a selected one, without
	// those that aggregations drop: all but kept, if that is not nil, and dropped.
	exact         bool
	kept, dropped []string
}

// longest is the length of the longest value of a label.
func (s shape) longest(name string) float64 {
	if made, ok := s.over[name]; ok {
		return made
	}
	longest := 0
	for _, list := range s.lists {
		for _, series := range list {
			longest = max(longest, len(series.Labels().Get(name)))
		}
	}
	return float64(longest)
}

// with is a shape in which a label has been replaced.
func (s shape) with(name string, length float64) shape {
	over := make(map[string]float64, len(s.over)+1)
	for n, l := range s.over {
		over[n] = l
	}
	over[name] = length
	s.over, s.exact = over, false
	added := length + float64(len(name)) + labelBytes
	s.width += added
	s.text += added * s.series
	return s
}

// labelled is a shape with the given number of series, each with labels of a length.
func (s shape) labelled(series, width float64) shape {
	s.series, s.width, s.exact = series, width, false
	s.text = series * width
	return s
}

// bytes is what the result keeps: rows, points and, if they are new, labels.
func (s shape) bytes(labels bool) float64 {
	points := s.points
	if points > 5000 { // The engine makes longer slices grow.
		points *= 1.25
	}
	sum := s.series * (rowBytes + pointBytes*points)
	if labels {
		sum += s.text
	}
	return sum
}

// listed is the shape of selected series. Their labels are in the budget already.
func listed(list []storage.Series) shape {
	out := shape{series: float64(len(list)), exact: true}
	if len(list) == 0 {
		return out
	}
	out.lists = [][]storage.Series{list}
	for _, series := range list {
		width := float64(series.Labels().ByteSize())
		out.width = max(out.width, width)
		out.text += width
	}
	return out
}

// visible reports whether a label has not been dropped.
func (s shape) visible(name string) bool {
	return (s.kept == nil || slices.Contains(s.kept, name)) && !slices.Contains(s.dropped, name)
}

// labels appends the labels of a series of the lists that have not been dropped.
func (s shape) labels(l labels.Labels, key []byte) []byte {
	if s.kept != nil {
		return l.BytesWithLabels(key, sorted(s.kept)...)
	}
	return l.BytesWithoutLabels(key, sorted(append([]string{model.MetricNameLabel}, s.dropped...))...)
}

// each calls f with a key of every series of the lists.
func (s shape) each(f func([]byte), key func(labels.Labels, []byte) []byte) {
	var buffer []byte
	for _, list := range s.lists {
		for _, series := range list {
			buffer = key(series.Labels(), buffer)
			f(buffer)
		}
	}
}

// both is the union of two results.
func both(a, b shape) shape {
	out := shape{
		series: a.series + b.series, points: max(a.points, b.points), width: max(a.width, b.width), text: a.text + b.text,
		lists: slices.Concat(a.lists, b.lists), exact: a.exact && b.exact && same(a, b), kept: a.kept, dropped: a.dropped,
	}
	for _, made := range []map[string]float64{a.over, b.over} {
		for name := range made {
			if out.over == nil {
				out.over = map[string]float64{}
			}
			out.over[name] = max(a.longest(name), b.longest(name))
		}
	}
	return out
}

// same reports whether the same labels have been dropped from two results.
func same(a, b shape) bool {
	return (a.kept == nil) == (b.kept == nil) && slices.Equal(a.kept, b.kept) && slices.Equal(a.dropped, b.dropped)
}

// sorted returns names in order, as the functions of package labels want them.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}
