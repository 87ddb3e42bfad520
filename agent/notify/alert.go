package notify

import (
	"maps"
	"strings"

	"github.com/prometheus/alertmanager/alert"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// labels are those of a notice as the Alertmanager wants them.
func (n Notice) labels() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	labels["alertname"], labels["host_name"], labels["severity"] = n.Rule, n.Host, n.Severity
	return tidy(labels)
}

// annotations are what there is to read.
func (n Notice) annotations() map[string]string {
	annotations := map[string]string{}
	maps.Copy(annotations, n.Annotations)
	for name, text := range map[string]string{
		"summary": n.Summary, "description": n.Description, "value": n.value(),
		"threshold": strings.TrimSpace(n.Threshold + " " + n.Unit), "since": n.since(), "processes": n.processText(),
		"state": n.word(), "dashboard": n.Link,
	} {
		if text != "" {
			annotations[name] = text
		}
	}
	return tidy(annotations)
}

// tidy makes names that the Alertmanager takes and leaves out what is empty, which
// it would refuse.
func tidy(m map[string]string) map[string]string {
	tidied := map[string]string{}
	for name, text := range m {
		name = strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' {
				return r
			}
			return '_'
		}, name)
		if name != "" && '0' <= name[0] && name[0] <= '9' {
			name = "_" + name
		}
		if name != "" && text != "" {
			tidied[name] = text
		}
	}
	return tidied
}

// alert is a notice as the Alertmanager project's code knows it, with every text
// put through a function.
func (n Notice) alert(text func(string) string) *alert.Alert {
	set := func(m map[string]string) model.LabelSet {
		s := model.LabelSet{}
		for name, value := range m {
			s[model.LabelName(name)] = model.LabelValue(text(value))
		}
		return s
	}
	a := &alert.Alert{Alert: model.Alert{
		Labels: set(n.labels()), Annotations: set(n.annotations()), StartsAt: n.Since, GeneratorURL: n.Link,
	}, UpdatedAt: n.At}
	if link := n.Link; link != "" {
		a.Annotations["dashboard"] = model.LabelValue(link)
	}
	if n.over() {
		a.EndsAt = n.Ended
	}
	return a
}

// templateData is a message as the Alertmanager's templates and webhooks have it.
func (m message) templateData(receiver string) (*amtemplate.Data, error) {
	t, err := newTemplate()
	if err != nil {
		return nil, err
	}
	var alerts []*alert.Alert
	for _, n := range m.notices {
		alerts = append(alerts, n.alert(func(s string) string { return s }))
	}
	group := model.LabelSet{}
	if len(alerts) == 1 {
		group[model.AlertNameLabel] = alerts[0].Labels[model.AlertNameLabel]
	}
	return t.Data(receiver, group, nil, reason(m.notices[0]).String(), alerts...), nil
}

// groupKey names what a message is about: an alert, where it is about one.
func (m message) groupKey(receiver string) string {
	if len(m.notices) == 1 {
		return "sysotel/" + receiver + "/" + m.notices[0].Fingerprint
	}
	return "sysotel/" + receiver
}
