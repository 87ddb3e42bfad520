package alerting

import (
	"slices"
)

// SetChannels says which channels there are now.
func (a *Alerting) SetChannels(names []string) {
	a.channelsMu.Lock()
	defer a.channelsMu.Unlock()
	a.channels = slices.Clone(names)
}

// channelNames lists the channels.
func (a *Alerting) channelNames() []string {
	a.channelsMu.RLock()
	defer a.channelsMu.RUnlock()
	return a.channels
}

// RulesOf lists the rules that name a channel.
func (a *Alerting) RulesOf(channel string) (names []string) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, r := range slices.Concat(a.rules, a.disabled) {
		if slices.Contains(r.channels, channel) {
			names = append(names, r.Name())
		}
	}
	return names
}
