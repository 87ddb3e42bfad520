package notify

import (
	"maps"
	"strings"

	"github.com/prometheus/alertmanager/alert"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
)

// labels returns the labels of the notice in the Alertmanager's form.
func (n Notice) labels() map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, n.Labels)
	labels["alertname"], labels["host_name"], labels["severity"] = n.Rule, n.Host, n.Severity
	return validLabels(labels)
}

// annotations returns the texts of the notice in the Alertmanager's form.
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
	return validLabels(annotations)
}

// validLabels makes names valid and omits empty values: the Alertmanager rejects
// both.
func validLabels(m map[string]string) map[string]string {
	valid := map[string]string{}
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
			valid[name] = text
		}
	}
	return valid
}

// alert converts the notice to the Alertmanager project's type, passing every text
// through a function.
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
	if n.resolved() {
		a.EndsAt = n.Ended
	}
	return a
}

// templateData converts the message to the data of Alertmanager templates and
// webhooks. page is the URL of the agent's page.
func (m message) templateData(receiver, page string) (*amtemplate.Data, error) {
	t, err := newTemplate(page)
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

// groupKey identifies the subject of a message: the alert, if there is only one.
func (m message) groupKey(receiver string) string {
	if len(m.notices) == 1 {
		return "sysotel/" + receiver + "/" + m.notices[0].Fingerprint
	}
	return "sysotel/" + receiver
}
