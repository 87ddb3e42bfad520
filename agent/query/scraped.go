package query

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// Scrape has the labels that a Prometheus adds to what it scrapes from an agent. The tiers
// do not keep them. An expression that names one of them, as those of public rule files and
// dashboards do, sees all measured series with both; others see neither.
type Scrape struct {
	// Jobs are the values of the label job that a selector may ask for; where none asks, it
	// is the first. Without any there are no such labels.
	Jobs []string
	// Instance returns the label instance of the series of a machine.
	Instance func(host string) string
}

// UpName is the metric that a Prometheus makes of each scrape. Here it is another name of
// the information about the agent, which is always 1.
const UpName = "up"

const (
	jobLabel      = model.JobLabel
	instanceLabel = model.InstanceLabel
)

// isScrapeLabel reports whether a label is one that a scrape adds.
func isScrapeLabel(name string) bool { return name == jobLabel || name == instanceLabel }

type scrapeKey struct{}

// scraped says in a context that its selectors see series as scraped, with a job where
// they ask for none; off that this was done.
type scraped struct {
	job string
	off bool
}

// Scraped returns a context in which selectors see series as a scrape gives them, if the
// expression names a label of the scrape, or if always is set: its texts may. A context
// that is one already is returned as it is.
func (q *Querier) Scraped(ctx context.Context, expr parser.Expr, always bool) context.Context {
	if _, ok := ctx.Value(scrapeKey{}).(scraped); ok || len(q.config.Scrape.Jobs) == 0 {
		return ctx
	}
	matchers, named := scrapeLabels(expr)
	if !named && !always {
		return ctx
	}
	return context.WithValue(ctx, scrapeKey{}, scraped{job: q.job(matchers)})
}

// scrapeLabels returns the matchers of the labels of the scrape in an expression, and
// whether it names one of them anywhere.
func scrapeLabels(expr parser.Expr) (matchers []*labels.Matcher, named bool) {
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			_, asked := withoutScrape(n.LabelMatchers)
			matchers = append(matchers, asked...)
		case *parser.AggregateExpr:
			named = named || slices.ContainsFunc(n.Grouping, isScrapeLabel)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				named = named || slices.ContainsFunc(n.VectorMatching.MatchingLabels, isScrapeLabel) || slices.ContainsFunc(n.VectorMatching.Include, isScrapeLabel)
			}
		case *parser.StringLiteral: // As in label_replace.
			named = named || isScrapeLabel(n.Val)
		}
		return nil
	})
	return matchers, named || len(matchers) > 0
}

// withoutScrape splits matchers into those of the labels of the scrape and the others.
func withoutScrape(matchers []*labels.Matcher) (rest, asked []*labels.Matcher) {
	if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return isScrapeLabel(m.Name) }) {
		return matchers, nil
	}
	for _, m := range matchers {
		if isScrapeLabel(m.Name) {
			asked = append(asked, m)
		} else {
			rest = append(rest, m)
		}
	}
	if !slices.ContainsFunc(rest, func(m *labels.Matcher) bool { return m.Name != tierLabel && !m.Matches("") }) {
		rest = append(rest, labels.MustNewMatcher(labels.MatchNotEqual, hostLabel, ""))
	}
	return rest, asked
}

// job is the first job that matchers ask for, else one that they do not exclude, else the
// first.
func (q *Querier) job(asked []*labels.Matcher) string {
	jobs := q.config.Scrape.Jobs
	for _, positive := range []bool{true, false} {
		for _, m := range asked {
			if m.Name != jobLabel || positive != (m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp) {
				continue
			}
			if i := slices.IndexFunc(jobs, m.Matches); i >= 0 {
				return jobs[i]
			}
		}
	}
	return jobs[0]
}

// asScraped selects series with the labels of the scrape, if the context or the matchers
// ask for that.
func (q *Querier) asScraped(ctx context.Context, from storage.Querier, sorted bool, hints *storage.SelectHints, matchers []*labels.Matcher) storage.SeriesSet {
	s, ok := ctx.Value(scrapeKey{}).(scraped)
	rest, asked := withoutScrape(matchers)
	if s.off || len(q.config.Scrape.Jobs) == 0 || !ok && len(asked) == 0 {
		return from.Select(ctx, sorted, hints, matchers...)
	}
	job := s.job
	if !ok || !allMatch(asked, jobLabel, job) {
		job = q.job(asked)
	}
	set := from.Select(context.WithValue(ctx, scrapeKey{}, scraped{off: true}), sorted, hints, rest...)
	return &scrapedSet{SeriesSet: set, asked: asked, job: job, instance: q.config.Scrape.Instance, of: labels.NewBuilder(labels.EmptyLabels())}
}

// allMatch reports whether a value of a label satisfies all of its matchers.
func allMatch(matchers []*labels.Matcher, label, value string) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return m.Name == label && !m.Matches(value) })
}

// scrapedSet adds the labels of the scrape to measured series that have none of their own,
// and leaves out those that do not match. It does not sort them again.
type scrapedSet struct {
	storage.SeriesSet
	asked    []*labels.Matcher
	job      string
	instance func(string) string
	of       *labels.Builder
	series   scrapedSeries
}

// Next implements storage.SeriesSet.
func (s *scrapedSet) Next() bool {
	for s.SeriesSet.Next() {
		series := s.SeriesSet.At()
		l := series.Labels()
		// Without the name of a machine it is made by a rule, which has the labels it wants.
		if host := l.Get(hostLabel); host != "" && (l.Get(jobLabel) == "" || l.Get(instanceLabel) == "") {
			s.of.Reset(l)
			if l.Get(jobLabel) == "" {
				s.of.Set(jobLabel, s.job)
			}
			if l.Get(instanceLabel) == "" {
				s.of.Set(instanceLabel, s.instance(host))
			}
			l = s.of.Labels()
		}
		if allMatch(s.asked, jobLabel, l.Get(jobLabel)) && allMatch(s.asked, instanceLabel, l.Get(instanceLabel)) {
			s.series = scrapedSeries{series, l}
			return true
		}
	}
	return false
}

// At implements storage.SeriesSet.
func (s *scrapedSet) At() storage.Series { return s.series }

// scrapedSeries is a series with other labels.
type scrapedSeries struct {
	storage.Series
	labels labels.Labels
}

// Labels implements storage.Series.
func (s scrapedSeries) Labels() labels.Labels { return s.labels }

// scrapedQueryable selects series as scraped.
type scrapedQueryable struct {
	q    *Querier
	from storage.Queryable
}

// Querier implements storage.Queryable.
func (s scrapedQueryable) Querier(mint, maxt int64) (storage.Querier, error) {
	from, err := s.from.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	return scrapedQuerier{from, s.q}, nil
}

// scrapedQuerier selects series as scraped.
type scrapedQuerier struct {
	storage.Querier
	q *Querier
}

// Select implements storage.Querier.
func (s scrapedQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	return s.q.asScraped(ctx, s.Querier, sorted, hints, matchers)
}

// unscraped adds to sets of matchers those that mean the same without the labels of the
// scrape. named is whether there are any.
func (q *Querier) unscraped(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time) (all [][]*labels.Matcher, named bool, err error) {
	all = slices.Clone(sets)
	for _, set := range sets {
		rest, asked := withoutScrape(set)
		if len(asked) == 0 || len(q.config.Scrape.Jobs) == 0 {
			continue
		}
		named = true
		if !allMatch(asked, jobLabel, q.job(asked)) {
			continue
		}
		hosts, _, err := q.values(ctx, hostLabel, [][]*labels.Matcher{rest}, start, end)
		if err != nil {
			return nil, false, err
		}
		var fit []string
		for _, host := range hosts {
			if allMatch(asked, instanceLabel, q.config.Scrape.Instance(host)) {
				fit = append(fit, regexp.QuoteMeta(host))
			}
		}
		if len(fit) == 0 {
			continue
		}
		hostIn, err := labels.NewMatcher(labels.MatchRegexp, hostLabel, strings.Join(fit, "|"))
		if err != nil {
			return nil, false, err
		}
		all = append(all, append(slices.Clone(rest), hostIn))
	}
	return all, named, nil
}

// scrapeValues returns the values of a label of the scrape of the series that match one of
// the sets, which unscraped has returned for asked.
func (q *Querier) scrapeValues(ctx context.Context, name string, asked, sets [][]*labels.Matcher, start, end time.Time) ([]string, error) {
	if len(q.config.Scrape.Jobs) == 0 {
		return nil, nil
	}
	hosts, _, err := q.values(ctx, hostLabel, sets, start, end)
	if err != nil || len(hosts) == 0 {
		return nil, err
	}
	if name == jobLabel {
		return []string{q.job(slices.Concat(asked...))}, nil
	}
	for i, host := range hosts {
		hosts[i] = q.config.Scrape.Instance(host)
	}
	return hosts, nil
}
