package export

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestSecretIsNeverShown tries the ways in which a value gets out of a program.
func TestSecretIsNeverShown(t *testing.T) {
	s := Secret("topsecret")
	headers := map[string]Secret{"authorization": s}
	c := OTLPConfig{Headers: headers}
	inJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	inYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "headers", headers, "config", c)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "headers", headers, "config", c)
	for _, shown := range []string{
		string(inJSON), string(inYAML), log.String(), s.String(), s.GoString(),
		fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x %X %d", s, s, s, s, s, s, s, s), fmt.Sprintf("%+v %#v", c, c),
		fmt.Errorf("failed: %s", s).Error(),
	} {
		if strings.Contains(shown, "topsecret") || strings.Contains(shown, fmt.Sprintf("%x", "topsecret")) {
			t.Errorf("the secret is shown: %s", shown)
		}
		if !strings.Contains(shown, "secret>") && !strings.Contains(shown, `secret\u003e`) {
			t.Errorf("nothing stands in place of the secret: %s", shown)
		}
	}
}
