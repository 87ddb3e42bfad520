package app

import (
	"context"

	"sysotel/agent/alerting"
	"sysotel/agent/notify"
	"sysotel/api"
)

// channels are the channels of the notifier, which the rules know.
type channels struct {
	*notify.Notifier
	rules *alerting.Alerting
}

var _ api.Notifier = (*channels)(nil)

// AddChannel adds a channel that rules can name.
func (c *channels) AddChannel(ctx context.Context, name, options string) error {
	defer func() { c.rules.SetChannels(c.ChannelNames()) }()
	return c.Notifier.AddChannel(ctx, name, options)
}

// RemoveChannel removes a channel unless rules name it, which could not be loaded then.
func (c *channels) RemoveChannel(ctx context.Context, name string) error {
	if rules := c.rules.RulesOf(name); len(rules) > 0 {
		return &api.ChannelInUse{Rules: rules}
	}
	defer func() { c.rules.SetChannels(c.ChannelNames()) }()
	return c.Notifier.RemoveChannel(ctx, name)
}
