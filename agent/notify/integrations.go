package notify

import (
	"errors"
	"log/slog"

	amconfig "github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/discord"
	amemail "github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/notify/incidentio"
	"github.com/prometheus/alertmanager/notify/jira"
	"github.com/prometheus/alertmanager/notify/mattermost"
	"github.com/prometheus/alertmanager/notify/msteams"
	"github.com/prometheus/alertmanager/notify/msteamsv2"
	"github.com/prometheus/alertmanager/notify/opsgenie"
	"github.com/prometheus/alertmanager/notify/pagerduty"
	"github.com/prometheus/alertmanager/notify/pushover"
	"github.com/prometheus/alertmanager/notify/rocketchat"
	amslack "github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/notify/telegram"
	"github.com/prometheus/alertmanager/notify/victorops"
	"github.com/prometheus/alertmanager/notify/webex"
	amwebhook "github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/notify/wechat"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/config"
)

// errSNS is returned for the one receiver that is left out: the AWS SDK alone would
// add 3.2 MB to the program, which must stay below 45 MB.
var errSNS = errors.New("sns_configs is not supported; reach SNS through an external Alertmanager (alerting.external_alertmanager)")

// builder creates the integrations of a receiver. The library's own function would
// link SNS.
type builder struct {
	template *amtemplate.Template
	log      *slog.Logger
	name     string
	made     []amnotify.Integration
	errs     []error
}

// integrations creates the integrations of a receiver.
func integrations(r amconfig.Receiver, template *amtemplate.Template, log *slog.Logger) ([]amnotify.Integration, error) {
	if len(r.SNSConfigs) > 0 {
		return nil, errSNS
	}
	b := &builder{template: template, log: log, name: r.Name}
	newEmail := func(c *amconfig.EmailConfig, t *amtemplate.Template, l *slog.Logger, _ ...config.HTTPClientOption) (*amemail.Email, error) {
		return amemail.New(c, t, l), nil
	}
	each(b, "webhook", r.WebhookConfigs, amwebhook.New)
	each(b, "email", r.EmailConfigs, newEmail)
	each(b, "pagerduty", r.PagerdutyConfigs, pagerduty.New)
	each(b, "opsgenie", r.OpsGenieConfigs, opsgenie.New)
	each(b, "wechat", r.WechatConfigs, wechat.New)
	each(b, "slack", r.SlackConfigs, amslack.New)
	each(b, "victorops", r.VictorOpsConfigs, victorops.New)
	each(b, "pushover", r.PushoverConfigs, pushover.New)
	each(b, "telegram", r.TelegramConfigs, telegram.New)
	each(b, "discord", r.DiscordConfigs, discord.New)
	each(b, "webex", r.WebexConfigs, webex.New)
	each(b, "msteams", r.MSTeamsConfigs, msteams.New)
	each(b, "msteamsv2", r.MSTeamsV2Configs, msteamsv2.New)
	each(b, "jira", r.JiraConfigs, jira.New)
	each(b, "incidentio", r.IncidentioConfigs, incidentio.New)
	each(b, "rocketchat", r.RocketchatConfigs, rocketchat.New)
	each(b, "mattermost", r.MattermostConfigs, mattermost.New)
	return b.made, errors.Join(b.errs...)
}

// each creates the integrations of one kind.
func each[C amnotify.ResolvedSender, N amnotify.Notifier](b *builder, kind string, configs []C,
	make func(C, *amtemplate.Template, *slog.Logger, ...config.HTTPClientOption) (N, error),
) {
	for i, c := range configs {
		notifier, err := make(c, b.template, b.log)
		if err != nil {
			b.errs = append(b.errs, err)
			continue
		}
		b.made = append(b.made, amnotify.NewIntegration(notifier, c, kind, i, b.name))
	}
}
