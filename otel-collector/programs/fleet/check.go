package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// witness is the series whose times are compared: every push has it, once a host.
const witness = "sysotel_cpu_usage_ratio"

// arrivals are the times that a node has, and how often, by host.
type arrivals map[string]map[int64]int

// arrived asks a node for the times of the fleet's pushes.
func arrived(ctx context.Context, node, prefix string) (arrivals, error) {
	// What came last becomes visible.
	if _, err := get(ctx, node+"/internal/force_flush"); err != nil {
		return nil, err
	}
	body, err := get(ctx, node+"/api/v1/export?"+url.Values{
		"match[]": {fmt.Sprintf("%s{host_name=~%q}", witness, prefix+"-[0-9]+")}, "start": {"0"}, "reduce_mem_usage": {"1"},
	}.Encode())
	if err != nil {
		return nil, err
	}
	all := arrivals{}
	lines := bufio.NewScanner(strings.NewReader(body))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var series struct {
			Metric     map[string]string
			Timestamps []int64
		}
		if err := json.Unmarshal(lines.Bytes(), &series); err != nil {
			return nil, fmt.Errorf("%s exports %.100s: %w", node, lines.Bytes(), err)
		}
		name := series.Metric["host_name"]
		if all[name] == nil {
			all[name] = map[int64]int{}
		}
		for _, at := range series.Timestamps {
			all[name][at]++
		}
	}
	return all, lines.Err()
}

// maxBody bounds a response.
const maxBody = 1 << 30

func get(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %.200s", address, response.Status, body)
	}
	return string(body), err
}

// comparison is what a node has of a fleet's pushes.
type comparison struct {
	// stored are those that it has; lost those that were acknowledged and that it lacks;
	// doubled those that it has more than once; others those that were not acknowledged.
	stored, lost, doubled, others int
}

// compare compares what arrived with what was acknowledged.
func (a arrivals) compare(r *report) (c comparison) {
	acknowledged := map[string]map[int64]bool{}
	for host, times := range r.acknowledged {
		acknowledged[host] = map[int64]bool{}
		for _, at := range times {
			acknowledged[host][at.UnixMilli()] = true
			if a[host][at.UnixMilli()] == 0 {
				c.lost++
			}
		}
	}
	for host, times := range a {
		for at, n := range times {
			c.stored++
			if n > 1 {
				c.doubled++
			}
			if !acknowledged[host][at] {
				c.others++
			}
		}
	}
	return c
}

// String implements fmt.Stringer.
func (c comparison) String() string {
	return fmt.Sprintf("the node has %d: %d acknowledged ones are lost, %d are there more than once, %d were not acknowledged\n", c.stored, c.lost, c.doubled, c.others)
}
