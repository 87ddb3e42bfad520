package app

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestGuides: the README lists exactly the guides that the agent serves, and each
// guide is the file that it says it is.
func TestGuides(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[[^]]+\]\(([^)]+\.md)\)`).FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, m[1])
	}
	var served []string
	for _, g := range Guides() {
		served = append(served, g.File)
		text, err := os.ReadFile("../../" + g.File)
		if err != nil || string(text) != g.Text {
			t.Errorf("%s is not the text that is served as %s: %v", g.File, g.Path(), err)
		}
		if !strings.HasPrefix(g.Text, "# "+g.Title()+"\n") || g.Title() == "" {
			t.Errorf("%s does not begin with a heading", g.File)
		}
	}
	if strings.Join(listed, "\n") != strings.Join(served, "\n") {
		t.Errorf("the README lists the guides\n%s\nthe agent serves\n%s", strings.Join(listed, "\n"), strings.Join(served, "\n"))
	}
}
