package query

import (
	"fmt"

	"github.com/prometheus/prometheus/util/annotations"
)

// What a coarser tier cannot tell is said beside the answer, as an information or a
// warning of Prometheus' API.

// noteMeans is the information that gauges are means.
func noteMeans(source Source) error {
	return fmt.Errorf("%w: tier %s keeps the mean of each %[2]s of a gauge, not each reading", annotations.PromQLInfo, source.Name())
}

// noteFunction is the warning that a function, or "-", does not see the readings.
func noteFunction(source Source, function string) error {
	what := function + "() is computed from"
	if function == "-" {
		what = "a range has"
	}
	return fmt.Errorf("%w: %s one value of each %s, because only tier %[3]s reaches back that far; what lies between is unknown", annotations.PromQLWarning, what, source.Name())
}

// noteShort is the warning that less than a bucket is asked for.
func noteShort(source Source, short string) error {
	return fmt.Errorf("%w: %s are answered from a whole %s, because only tier %[3]s reaches back that far", annotations.PromQLWarning, short, source.Name())
}

// noteUncounted is the warning that it is unknown how many readings a bucket has.
func noteUncounted(source Source) error {
	return fmt.Errorf("%w: how many readings each %s has is unknown; it counts as one", annotations.PromQLWarning, source.Name())
}

// noteCounts is the information that readings are counted for a whole collector.
func noteCounts(source Source) error {
	return fmt.Errorf("%w: tier %s counts the readings of each %[2]s by collector; a series that begins, ends or is missing within one has fewer", annotations.PromQLInfo, source.Name())
}

// noteUnweighted is the information that buckets count alike in a mean.
func noteUnweighted(source Source) error {
	return fmt.Errorf("%w: the mean over several metrics counts each %s of tier %[2]s alike, however many readings it has", annotations.PromQLInfo, source.Name())
}

// notePresence is the information that it is not known when within a bucket a series was
// there. It is given without one too: what is not there is the answer.
func notePresence(source Source) error {
	return fmt.Errorf("%w: a series that begins or ends within a %s is there for all or none of it in tier %[2]s", annotations.PromQLInfo, source.Name())
}

// noteSubquery is the information that the points of a subquery are not exact.
func noteSubquery(source Source) error {
	return fmt.Errorf("%w: each point of the subquery is off by at most the share of a %s bucket of tier %[2]s", annotations.PromQLInfo, source.Name())
}
