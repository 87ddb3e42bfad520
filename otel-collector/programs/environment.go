package programs

import (
	"fmt"
	"os"
	"strings"
)

// Environment reads the variables in files of NAME=value lines, as the env_file
// of Docker Compose does. It ignores empty lines and those that begin with #.
func Environment(paths ...string) (variables []string, err error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if name, _, ok := strings.Cut(line, "="); !ok || name == "" {
				return nil, fmt.Errorf("%s: %q is not NAME=value", path, line)
			}
			variables = append(variables, line)
		}
	}
	return variables, nil
}
