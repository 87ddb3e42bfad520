package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"sysotel/api"
)

// Settings lists every option with its value and what set it, for the API. The
// values pass through YAML, where secrets marshal as <secret>, so that they look as
// in the file.
func (c Config) Settings() []api.Setting {
	// The arguments of a command may contain a password, like those of a process.
	c.Instruments.Custom.Commands = slices.Clone(c.Instruments.Custom.Commands)
	for i := range c.Instruments.Custom.Commands {
		command := &c.Instruments.Custom.Commands[i]
		command.Command = c.Instruments.Processes.WithoutSecrets(command.Command)
	}
	var all []api.Setting
	for _, o := range c.options() {
		if o.section {
			continue
		}
		var value any
		if yaml.Unmarshal([]byte(o.yaml()), &value) != nil {
			continue // It cannot fail: yaml wrote it.
		}
		all = append(all, api.Setting{Path: o.path, Value: value, Where: c.Where(o.path)})
	}
	return all
}
