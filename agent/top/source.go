package top

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"sysotel/api"
	"sysotel/instruments/sanitize"
)

const (
	// requestTime bounds a request, silence a stream without any byte: the agent
	// sends a comment every 15 s.
	requestTime = 10 * time.Second
	silence     = 40 * time.Second
	// maxResponse bounds a response: 1,000 rows of processes have about 500 kB, a
	// window of 128 processors about 1 MB.
	maxResponse = 16 << 20
	// maxRows is how many processes the API gives at once.
	maxRows = 1000
)

// Agent is where the REST API of an agent is.
type Agent struct {
	// Client connects to it. It must not have a timeout: streams are open for long.
	Client *http.Client
	// URL is what stands before /api/v1.
	URL string
	// Token is sent with each request unless it is empty.
	Token string
	// Name is what errors call the agent.
	Name string
}

// refusal is a response with an error status.
type refusal struct {
	status int
	detail string
}

// Error returns the agent's own reason, safe for a terminal.
func (r *refusal) Error() string {
	if r.status == http.StatusUnauthorized {
		return "the agent asks who you are (status 401): create a token there with sysotel token add, and give the file with --token-file"
	}
	if r.detail == "" {
		return fmt.Sprintf("the agent refuses with status %d", r.status)
	}
	return fmt.Sprintf("the agent refuses (status %d): %s", r.status, sanitize.ReplaceUnprintable(r.detail))
}

// open sends a request and returns its response, of status 200.
func (a *Agent) open(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	target := a.URL + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if a.Token != "" {
		request.Header.Set("Authorization", "Bearer "+a.Token)
	}
	response, err := a.Client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // Without the URL, which the name says.
		}
		return nil, fmt.Errorf("no agent answers on %s: %w", a.Name, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	var problem struct {
		Detail string
		Errors []struct{ Location, Message string }
	}
	if json.Unmarshal(text, &problem) != nil { // A proxy's page has no detail.
		return nil, &refusal{status: response.StatusCode}
	}
	reasons := []string{problem.Detail}
	for _, e := range problem.Errors {
		reasons = append(reasons, strings.TrimPrefix(e.Location, "query.")+" "+e.Message)
	}
	return nil, &refusal{response.StatusCode, strings.Join(reasons, " ")}
}

// get decodes the JSON document at a path.
func (a *Agent) get(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	response, err := a.open(ctx, path, query)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("read the response of %s: %w", a.Name, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("what %s sends is no answer of an agent: %w", a.Name, err)
	}
	return nil
}

// current returns the newest reading.
func (a *Agent) current(ctx context.Context) (*api.Current, error) {
	var c api.Current
	if err := a.get(ctx, "/metrics/current", nil, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// alerts returns the alerts that fire, and those that did and have no data.
func (a *Agent) alerts(ctx context.Context) ([]alert, error) {
	var list api.Alerts
	if err := a.get(ctx, "/alerts", url.Values{"state": {"firing", "no_data"}}, &list); err != nil {
		return nil, err
	}
	alerts := make([]alert, 0, len(list.Alerts))
	for _, one := range list.Alerts {
		alerts = append(alerts, alert{Rule: one.Rule, State: one.State, Severity: one.Severity, Summary: one.Summary, Since: one.FiredAt})
	}
	return alerts, nil
}

// tableQuery selects processes.
type tableQuery struct {
	at    time.Time // Zero is the newest table.
	rows  int
	order string
	text  string // Part of a name, program or user, or a whole PID.
}

// processes returns a process table.
func (a *Agent) processes(ctx context.Context, q tableQuery) (*api.Processes, error) {
	query := url.Values{"top": {strconv.Itoa(min(q.rows, maxRows))}, "sort": {q.order}}
	if q.text != "" {
		query.Set("q", q.text)
	}
	if !q.at.IsZero() {
		query.Set("at", seconds(q.at))
	}
	var table api.Processes
	if err := a.get(ctx, "/metrics/processes", query, &table); err != nil {
		return nil, err
	}
	return &table, nil
}

// seconds is a time as the API takes it.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}

// window returns the series from span points before a time to some after it, of a
// resolution of at least step. Where the history of that time is coarser, the
// window is of the coarser points.
func (a *Agent) window(ctx context.Context, at time.Time, step time.Duration) (*window, error) {
	for {
		w := &window{from: at.Add(-span * step), to: at.Add(ahead * step), step: step, rows: map[string][]api.SeriesRow{}}
		coarsest, err := a.fill(ctx, w, at)
		if err != nil || coarsest <= step {
			return w, err
		}
		step = coarsest
	}
}

// recent returns the series before a time for the sparklines.
func (a *Agent) recent(ctx context.Context, at time.Time, step time.Duration) (*window, error) {
	w := &window{from: at.Add(-span * step), to: at, step: step, rows: map[string][]api.SeriesRow{}}
	_, err := a.fill(ctx, w, at)
	return w, err
}

// fill reads the series of a window and returns the resolution of the history at a
// time, 0 where there is none.
func (a *Agent) fill(ctx context.Context, w *window, at time.Time) (time.Duration, error) {
	var answers [len(groups)]api.Series
	var episodes api.AlertHistory
	parallel, inner := errgroup.WithContext(ctx)
	for i, g := range groups {
		parallel.Go(func() error {
			return a.get(inner, "/metrics/"+g.name, url.Values{
				"metric": g.metrics, "start": {seconds(w.from)}, "end": {seconds(w.to)}, "step": {w.step.String()},
			}, &answers[i])
		})
	}
	parallel.Go(func() error {
		return a.get(inner, "/alerts/history", url.Values{"start": {seconds(w.from)}, "end": {seconds(w.to)}, "limit": {"1000"}}, &episodes)
	})
	if err := parallel.Wait(); err != nil {
		return 0, err
	}
	var coarsest time.Duration
	for _, answer := range answers {
		w.host = answer.Host
		for _, row := range answer.Series {
			w.rows[row.Metric] = append(w.rows[row.Metric], row)
		}
		for _, tier := range answer.Tiers {
			if resolution := duration(tier.Tier); !at.Before(tier.From.Add(-resolution)) && !at.After(tier.To) {
				coarsest = max(coarsest, resolution)
			}
		}
	}
	w.episodes = episodes.Episodes
	return coarsest, nil
}

// happening is an event to jump to.
type happening struct {
	api.Event
	// more is how many others are in the same second.
	more int
}

// errNoEvent: there is no event on that side.
var errNoEvent = errors.New("there is no event")

// eventsAtOnce is how many events one request asks for, searchTime how far back
// events are searched; the API allows 1,000 and 1,830 days.
const (
	eventsAtOnce = 1000
	searchTime   = 1829 * 24 * time.Hour
)

// before returns the newest event before a time.
func (a *Agent) before(ctx context.Context, t time.Time) (*happening, error) {
	var page api.Events
	err := a.get(ctx, "/events", url.Values{"start": {seconds(t.Add(-searchTime))}, "end": {seconds(t)}, "limit": {"100"}}, &page)
	if err != nil {
		return nil, err
	}
	if len(page.Events) == 0 {
		return nil, errNoEvent
	}
	found := &happening{Event: page.Events[0]}
	for _, e := range page.Events[1:] {
		if e.Time.Unix() == found.Time.Unix() {
			found.more++
		}
	}
	return found, nil
}

// after returns the oldest event at or after a time. The API lists the newest
// first, so that the time searched grows until it holds an event, and shrinks while
// it holds more than a page.
func (a *Agent) after(ctx context.Context, t, now time.Time) (*happening, error) {
	from, length := t, time.Hour
	for from.Before(now) {
		to := from.Add(length)
		if to.After(now) {
			to = now.Add(time.Second)
		}
		var page api.Events
		err := a.get(ctx, "/events", url.Values{"start": {seconds(from)}, "end": {seconds(to)}, "limit": {strconv.Itoa(eventsAtOnce)}}, &page)
		switch n := len(page.Events); {
		case err != nil:
			return nil, err
		case page.Next != "" && length > time.Second:
			length /= 8
		case n == 0:
			from, length = to, length*8
		default:
			found := &happening{Event: page.Events[n-1]}
			for _, e := range page.Events[:n-1] {
				if e.Time.Unix() == found.Time.Unix() {
					found.more++
				}
			}
			return found, nil
		}
	}
	return nil, errNoEvent
}

// follow sends each reading of the stream until ctx ends. It connects again when
// the stream ends, and reports each loss.
func (a *Agent) follow(ctx context.Context, reading func(*api.Current), lost func(error)) {
	const shortest, longest = time.Second, 10 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		err := a.stream(ctx, func(c *api.Current) {
			pause = shortest
			reading(c)
		})
		if ctx.Err() != nil {
			return
		}
		lost(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longest)
	}
}

// errEnded: the agent closed the stream.
var errEnded = errors.New("the agent ended the stream; connecting again")

// stream reads one stream to its end.
func (a *Agent) stream(ctx context.Context, reading func(*api.Current)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := time.AfterFunc(silence, cancel)
	defer watch.Stop()
	response, err := a.open(ctx, "/metrics/stream", nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxResponse)
	for lines.Scan() {
		watch.Reset(silence)
		document, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		c := new(api.Current)
		if err := json.Unmarshal(document, c); err != nil {
			return fmt.Errorf("what %s streams is no reading: %w", a.Name, err)
		}
		reading(c)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the stream of %s broke off: %w", a.Name, err)
	}
	return errEnded
}
