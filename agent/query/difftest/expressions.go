package difftest

// Expression is one line of the table.
type Expression struct {
	Text  string
	Bound Bound
	// Truth is what Prometheus is asked, if that is another expression: it has no
	// names for minima and maxima.
	Truth string
}

func (e Expression) truth() string {
	if e.Truth != "" {
		return e.Truth
	}
	return e.Text
}

// Expressions is the table.
func Expressions() []Expression {
	var all []Expression
	for _, part := range []struct {
		bound Bound
		texts []string
	}{{Exact, exact()}, {Bucket, bucket()}, {Warned, warned()}} {
		for _, text := range part.texts {
			all = append(all, Expression{Text: text, Bound: part.bound})
		}
	}
	return append(all,
		Expression{"max_over_time(g_max[10m])", Bucket, "max_over_time(g[10m])"},
		Expression{"min_over_time(g_min[10m])", Bucket, "min_over_time(g[10m])"},
		Expression{`max_over_time(g_max{i="alternating"}[2h])`, Bucket, `max_over_time(g{i="alternating"}[2h])`},
	)
}

// exact read no samples, or nothing that a bucket changes.
func exact() []string {
	return []string{
		`1`, `time()`, `vector(1)`, `pi() * 2`, `-time()`, `1 > bool 2`,
		`vector(time()) % 60`, `minute()`, `hour()`, `day_of_week()`, `day_of_month()`, `day_of_year()`, `days_in_month()`, `month()`, `year()`,
		`scalar(vector(7))`, `absent(nothing)`, `absent(nothing{a="b"})`, `nothing`, `sum(nothing)`, `count(nothing) or vector(0)`,
		`rate(nothing[5m])`, `limit`, `limit{i="walk"}`, `limit + 1`, `limit > 60`, `limit > bool 60`, `limit{i=~"w.*"} - ignoring(i) limit{i="alternating"}`,
		`max(limit)`, `min(limit)`, `sum(limit)`, `avg(limit)`, `count(limit)`, `group(limit)`, `stddev(limit)`, `quantile(0.5, limit)`, `count_values("v", limit)`,
		`topk(1, limit)`, `bottomk(1, limit)`, `sort(limit)`, `sort_desc(limit)`, `sort_by_label(limit, "i")`,
		`label_replace(limit, "j", "$1-$1", "i", "(.).*")`, `label_join(limit, "j", "/", "i", "host_name")`, `clamp(limit, 60, 70)`, `clamp_min(limit, 60)`, `sqrt(limit)`, `ln(limit)`, `round(limit, 30)`, `sgn(limit - 60)`,
		`min_over_time(limit[10m])`, `max_over_time(limit[10m])`, `avg_over_time(limit[10m])`, `stddev_over_time(limit[2h])`, `last_over_time(limit[10m])`,
		`delta(limit[2h])`, `deriv(limit[2h])`, `changes(limit[2h])`, `quantile_over_time(0.9, limit[2h])`, `limit offset 10m`, `limit offset -1m`, `increase(c_total{i="idle"}[2h])`, `rate(c_total{i="idle"}[10m])`, `c_total{i="idle"}`, `c_total{i="idle"} offset 1h`,
		`time() - time() % 60`, `limit and on(i) limit{i="walk"}`, `limit unless on(i) limit{i="walk"}`, `limit{i="walk"} or limit`, `hour(c_total{i="idle"})`,
	}
}

// bucket are answered from what buckets keep.
func bucket() []string {
	return []string{
		`c_total{i=~"steady|bursts|idle"}`, `c_total{i="steady"}`, `sum(c_total{i=~"steady|bursts"})`, `c_total{i="steady"} offset 7m`, `c_total{i="bursts"} > 0`, `h_seconds_count`,
		`c_total{i="steady"} @ end()`, `c_total{i="steady"} @ start()`, `c_total{i="steady"} @ 1772445600`,
		`c_total{i="steady"} - c_total{i="steady"} offset 1h`, `present_over_time(g[10m])`, `absent(c_total{i="steady"})`,
		`rate(c_total[30s])`, `rate(c_total[1m])`, `rate(c_total[5m])`, `rate(c_total[1h])`, `rate(c_total[6h])`, `rate(c_total{i="steady"}[2m] offset 3m)`, `rate(c_total{i="steady"}[5m] @ end())`, `rate(c_total{i="resets"}[2h])`, `rate(c_total{i="bursts"}[10m])`, `rate(c_total{i="guest"}[20m])`,
		`increase(c_total[1m])`, `increase(c_total[5m])`, `increase(c_total[1h])`, `increase(c_total[6h])`, `increase(c_total[1d])`, `increase(c_total{i="steady"}[5m] offset 1h)`, `increase(c_total{i="steady"}[10m] offset -2m)`, `sum(increase(c_total[1h]))`, `sum by (i) (rate(c_total[5m]))`, `max(rate(c_total[10m]))`, `avg without (i) (rate(c_total{i!="guest"}[10m]))`, `topk(1, increase(c_total{i=~"steady|bursts"}[2h]))`,
		`rate(c_total{i="steady"}[5m]) * 8`, `rate(c_total{i="steady"}[5m]) > 10`, `rate(c_total{i="steady"}[5m]) > bool 10`, `8 * rate(c_total{i="steady"}[5m]) + 1`,
		`max_over_time(g[10s])`, `max_over_time(g[1m])`, `max_over_time(g[5m])`, `max_over_time(g[1h])`, `max_over_time(g[6h])`, `min_over_time(g[10s])`, `min_over_time(g[5m])`, `min_over_time(g[1h])`, `min_over_time(g[6h])`, `max_over_time(g{i="walk"}[10m] offset 5m)`, `max(max_over_time(g[10m]))`, `max_over_time(g{i="alternating"}[2h]) > 90`, `max_over_time(g{i="alternating"}[5m] @ end())`,
		`avg_over_time(g{i!="guest"}[1m])`, `avg_over_time(g{i!="guest"}[5m])`, `avg_over_time(g{i!="guest"}[1h])`, `avg_over_time(g{i!="guest"}[6h])`, `avg_over_time(g{i="walk"}[10m] offset 1h)`, `avg by (host_name) (avg_over_time(g{i=~"walk|steps"}[1h]))`,
		`count_over_time(g{i!="guest"}[5m])`, `count_over_time(g{i!="guest"}[1h])`, `count_over_time(g{i="walk"}[6h])`, `sum_over_time(g{i!="guest"}[5m])`, `sum_over_time(g{i="alternating"}[1h])`,
		`resets(c_total{i="resets"}[1h])`, `resets(c_total{i="resets"}[6h])`, `resets(c_total{i="steady"}[1h])`, `last_over_time(c_total{i="steady"}[10m])`,
		`histogram_quantile(0.9, rate(h_seconds_bucket[10m]))`, `histogram_quantile(0.5, sum by (le) (rate(h_seconds_bucket[1h])))`, `rate(h_seconds_bucket{le="1"}[5m]) / ignoring(le) rate(h_seconds_count[5m])`, `histogram_fraction(0, 0.1, rate(h_seconds_bucket[1h]))`, `absent_over_time(nothing[5m])`, `absent_over_time(g{i="guest"}[1m])`, `absent_over_time(g{i="walk"}[5m])`, `present_over_time(g{i="guest"}[10s])`, `count_over_time(c_total{i="steady"}[5m])`, `max_over_time(g{i="walk"}[5m]) > avg_over_time(g{i="walk"}[1h])`, `avg_over_time(g{i="walk"}[5m]) > avg_over_time(g{i="walk"}[5m] offset 5m)`, `increase(c_total{i="steady"}[1h]) > increase(c_total{i="steady"}[1h] offset 1h)`, `rate(c_total{i="steady"}[5m]) / rate(c_total{i="steady"}[5m] offset 10m)`, `rate(c_total{i="resets"}[5m]) - rate(c_total{i="resets"}[1h])`, `rate(c_total{i="steady"}[5m]) and on() (vector(time()) % 60 < 30)`,
	}
}

// warned say more of the seconds than a bucket keeps.
func warned() []string {
	return []string{
		`g`, `g{i="alternating"}`, `g{i!="walk"}`, `g{i=~"w.*"}`, `g{i="walk"} offset 5m`, `g{i="walk"} offset 1h`, `g{i="walk"} offset -10s`, `g{i="walk"} @ end()`, `g{i="walk"} @ start()`, `g{i="walk"} @ 1772445600`, `timestamp(g{i="walk"})`, `timestamp(g{i="walk"} @ end())`, `timestamp(g{i="walk"} offset 1m)`, `{__name__="g",i="walk"}`, `{__name__=~"g.*",i="walk"}`, `{i="alternating"}`, `count({i="walk"})`, `count by (__name__) ({i=~"alternating|steady"})`, `max({__name__=~".+",i="alternating"})`,
		`sum(g)`, `avg(g)`, `max by (i) (g)`, `min without (i) (g)`, `count(g)`, `stddev(g)`, `stdvar(g)`, `quantile(0.7, g)`, `topk(2, g)`, `bottomk(2, g)`, `count_values("v", g{i="alternating"})`, `limitk(1, g{i="walk"})`, `limit_ratio(1, g)`, `sort(g)`, `sort_desc(g)`, `sort_by_label(g, "i")`, `group by (i) (g)`,
		`g > 50`, `g > bool 50`, `g{i="walk"} > on(i) limit`, `g{i=~"walk|alternating"} < on(i) limit`, `g + on(i) group_left limit`, `g / on(i) limit * 100`, `g and on(i) limit`, `g unless on(i) limit`, `g or limit`, `g == bool 0`, `g{i="walk"} ^ 2`, `g{i="walk"} % 7`, `-g`, `g{i="walk"} atan2 g{i="walk"}`, `2 - g{i="walk"}`,
		`abs(g)`, `ceil(g)`, `floor(g)`, `exp(g{i="walk"} / 100)`, `round(g, 5)`, `clamp_max(g, 50)`, `sgn(g)`, `scalar(g{i="walk"})`, `vector(scalar(g{i="walk"}))`, `label_replace(g, "k", "$1", "i", "(.*)")`,
		`g[10s]`, `g{i="walk"}[1m]`, `c_total{i="steady"}[5s] offset 10s`, `g{i="walk"}[3m:20s]`,
		`last_over_time(g[1m])`, `last_over_time(g{i="walk"}[1h])`, `first_over_time(g{i="walk"}[1h])`, `first_over_time(c_total{i="steady"}[10m])`,
		`quantile_over_time(0.95, g[5m])`, `quantile_over_time(0.5, g{i="walk"}[1h])`, `stddev_over_time(g[5m])`, `stddev_over_time(g{i="walk"}[1h])`, `stdvar_over_time(g{i="walk"}[10m])`, `mad_over_time(g{i="walk"}[10m])`,
		`changes(g[5m])`, `changes(g{i="steps"}[1h])`, `changes(c_total{i="bursts"}[1h])`, `irate(c_total[1m])`, `irate(c_total{i="steady"}[1h])`, `idelta(g{i="walk"}[1m])`, `delta(g{i="walk"}[5m])`, `delta(g{i="steps"}[1h])`, `deriv(g{i="walk"}[5m])`, `deriv(g{i="steps"}[1h])`, `predict_linear(g{i="walk"}[1h], 3600)`, `predict_linear(c_total{i="steady"}[1h], 3600)`, `double_exponential_smoothing(g{i="walk"}[10m], 0.5, 0.5)`,
		`avg_over_time({__name__=~"g.*",i="walk"}[10m])`, `absent(g{i="guest"})`, `avg_over_time(g{i="guest"}[1h])`, `count_over_time(g{i="guest"}[1h])`, `max_over_time(c_total{i="steady"}[5m])`,
		`ts_of_max_over_time(g{i="walk"}[10m])`, `ts_of_min_over_time(g{i="walk"}[10m])`, `ts_of_last_over_time(g{i="walk"}[10m])`, `ts_of_first_over_time(g{i="walk"}[10m])`,
		`sum_over_time(g{i="guest"}[30s])`, `count_over_time(g[10s])`, `avg_over_time(g[10s])`, `sum_over_time(c_total{i="steady"}[5m])`, `avg_over_time(c_total{i="steady"}[5m])`, `min_over_time(c_total{i="resets"}[1h])`,
		`max_over_time(g{i="walk"}[10m:])`, `max_over_time(g{i="walk"}[10m:10s])`, `avg_over_time(g{i="alternating"}[5m:1s])`, `max_over_time(rate(c_total{i="bursts"}[1m])[30m:1m])`, `min_over_time(rate(c_total{i="steady"}[5m])[1h:5m])`, `avg_over_time(rate(c_total{i="steady"}[1m])[10m:])`, `count_over_time((g{i="walk"} > 50)[10m:1s])`, `sum_over_time((g{i="alternating"} > bool 50)[5m:5s])`, `max_over_time(deriv(g{i="walk"}[1m])[5m:10s] offset 1m)`, `quantile_over_time(0.9, sum(rate(c_total[1m]))[30m:1m])`, `avg_over_time(g{i="walk"}[5m:30s] @ end())`, `rate(c_total{i="resets"}[5m:10s])`, `present_over_time(g{i="guest"}[5m:10s])`,
		`increase(c_total{i="idle"}[1h]) == 0`,
		`rate(g{i="walk"}[5m])`, `increase(g{i="alternating"}[5m])`, `delta(c_total{i="steady"}[5m])`, `resets(g{i="alternating"}[5m])`, `minute(timestamp(g{i="walk"}))`,
	}
}
