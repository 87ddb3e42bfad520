package top

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// canvas draws frames on a terminal: of each only the lines that changed, which is a
// fifth of the work of the library's renderer, and as often as there is something
// new instead of many times a second.
type canvas struct {
	out io.Writer
	// shown are the lines on the terminal, nil where they are not known.
	shown []string
}

// What the terminal is told: another screen, no cursor, no line breaks of its own,
// pasted text marked; and all that back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h"
	leaveScreen = "\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[m\x1b[?1049l"
	clearScreen = "\x1b[m\x1b[2J"
	// A terminal that knows these shows what is between them at once.
	beginFrame = "\x1b[?2026h"
	endFrame   = "\x1b[?2026l"
)

func (c *canvas) enter() error {
	c.shown = nil
	_, err := io.WriteString(c.out, enterScreen)
	return err
}

func (c *canvas) leave() error {
	_, err := io.WriteString(c.out, leaveScreen)
	return err
}

// forget makes the next frame be drawn whole.
func (c *canvas) forget() { c.shown = nil }

// draw shows a frame.
func (c *canvas) draw(frame string) error {
	lines := strings.Split(frame, "\n")
	var b strings.Builder
	whole := len(lines) != len(c.shown)
	for i, line := range lines {
		if whole || line != c.shown[i] {
			fmt.Fprintf(&b, "\x1b[%d;1H%s", i+1, line)
		}
	}
	c.shown = lines
	if b.Len() == 0 {
		return nil
	}
	start := beginFrame
	if whole {
		start += clearScreen
	}
	_, err := io.WriteString(c.out, start+b.String()+endFrame)
	return err
}

// quiet is the terminal for the library, which sets its mode, reads its size and
// keys, and restores it. What the library draws, which is nothing, goes nowhere.
type quiet struct{ *os.File }

// Write discards.
func (quiet) Write(b []byte) (int, error) { return len(b), nil }
