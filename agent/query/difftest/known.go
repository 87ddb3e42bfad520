package difftest

// wrong are expressions that are answered wrongly for one reason.
type wrong struct {
	why   string
	texts []string
}

// Known are the expressions that are known to be answered wrongly, each with the reason.
func Known() map[string]string {
	all := map[string]string{}
	for _, k := range known() {
		for _, text := range k.texts {
			all[text] = k.why
		}
	}
	return all
}

func known() []wrong {
	return []wrong{
		{"within a bucket a series that resets, begins or ends is off by more than what it counted there", []string{
			`absent(g{i="guest"})`,
			`count_over_time(g{i="guest"}[1h])`,
			`avg_over_time(g{i="guest"}[1h])`,
			`sum by (i) (rate(c_total[5m]))`,
			`increase(c_total[6h])`,
			`increase(c_total[1h])`,
			`increase(c_total[1m])`,
			`increase(c_total[5m])`,
			`rate(c_total{i="guest"}[20m])`,
			`rate(c_total{i="resets"}[2h])`,
			`rate(c_total[1h])`,
			`rate(c_total[5m])`,
			`rate(c_total[1m])`,
			`rate(c_total[30s])`,
			`rate(c_total[6h])`,
			`rate(c_total{i="resets"}[5m]) - rate(c_total{i="resets"}[1h])`,
		}},
		{"where only a coarser tier reaches, a window shorter than a bucket is answered from an earlier bucket", []string{
			`avg_over_time(g{i="walk"}[10m] offset 1h)`,
			`avg_over_time(g{i!="guest"}[1m])`,
			`min_over_time(g[10s])`,
			`max_over_time(g[1m])`,
			`max_over_time(g[10s])`,
		}},
		{"it should carry a warning where only a coarser tier reaches", []string{
			`delta(c_total{i="steady"}[5m])`,
			`increase(g{i="alternating"}[5m])`,
			`rate(g{i="walk"}[5m])`,
			`rate(c_total{i="resets"}[5m:10s])`,
			`quantile_over_time(0.9, sum(rate(c_total[1m]))[30m:1m])`,
			`avg_over_time(rate(c_total{i="steady"}[1m])[10m:])`,
			`min_over_time(rate(c_total{i="steady"}[5m])[1h:5m])`,
			`max_over_time(rate(c_total{i="bursts"}[1m])[30m:1m])`,
			`avg_over_time(c_total{i="steady"}[5m])`,
			`sum_over_time(c_total{i="steady"}[5m])`,
			`avg_over_time(g[10s])`,
			`first_over_time(c_total{i="steady"}[10m])`,
			`c_total{i="steady"}[5s] offset 10s`,
			`g[10s]`,
		}},
	}
}
