package command

import "strings"

// takeWords takes a command's own words and options out of the arguments and
// leaves the rest, which are options of the configuration with their values.
// own are the command's options, which take a value each.
func (c *Call) takeWords(own ...string) (words []string, options map[string]string) {
	options = map[string]string{}
	var rest []string
	for i := 0; i < len(c.Args); i++ {
		arg := c.Args[i]
		name, value, hasValue := strings.Cut(arg, "=")
		isOwn := false
		for _, o := range own {
			isOwn = isOwn || name == o
		}
		switch {
		case !strings.HasPrefix(arg, "-"):
			words = append(words, arg)
			continue
		case !hasValue && i+1 < len(c.Args):
			i++
			value = c.Args[i]
			if !isOwn {
				rest = append(rest, arg, value)
			}
		case !isOwn:
			rest = append(rest, arg)
		}
		if isOwn {
			options[name] = value
		}
	}
	c.Args = rest
	return words, options
}
