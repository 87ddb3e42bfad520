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
	}
}
