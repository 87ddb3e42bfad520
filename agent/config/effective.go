package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"sysotel/api"
)

// Settings lists every option with its value and where it was set, for the API.
// Secrets show themselves as <secret> in YAML, through which the values go, so
// that they look as they do in the file.
func (c Config) Settings() []api.Setting {
	// The arguments of a command can hold a password as those of a process can.
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
			continue // What yaml wrote it can read.
		}
		all = append(all, api.Setting{Path: o.path, Value: value, Where: c.Where(o.path)})
	}
	return all
}
