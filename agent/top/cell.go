package top

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/text/unicode/norm"

	"sysotel/instruments/sanitize"
)

// clean makes a hostile name one line of characters whose widths all terminals
// agree on: what is not printable, what has no width of its own, and what melts
// with its neighbours into another width become '?'.
func clean(s string, g glyphs) string {
	plain := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	// A letter and its accent become one character where there is one.
	s = sanitize.ReplaceUnprintable(norm.NFC.String(strings.ToValidUTF8(s, "?")))
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII && (g.ascii || melts(r)) {
			return '?'
		}
		return r
	}, s)
}

// melts reports whether a character has no width of its own or changes that of its
// neighbours: marks, regional indicators, skin tones.
func melts(r rune) bool {
	return unicode.IsMark(r) || r >= 0x1f1e6 && r <= 0x1f1ff || r >= 0x1f3fb && r <= 0x1f3ff ||
		r >= 0x1160 && r <= 0x11ff || ansi.StringWidth(string(r)) == 0
}

// widthOf is the number of cells of clean text, escape sequences not counted. Most
// text is ASCII and our own drawings, of one cell each, which need no tables.
func widthOf(s string) int {
	n, sequence := 0, false
	for _, r := range s {
		switch {
		case sequence:
			sequence = r != 'm'
		case r == '\x1b':
			sequence = true
		case r < unicode.MaxASCII, r >= 0x2500 && r <= 0x25ff, r == '·', r == '…', r == '↓', r == '↑':
			n++
		default:
			return ansi.StringWidth(s)
		}
	}
	return n
}

// fit makes text exactly so wide: cut with an ellipsis, or filled with blanks. Text
// with escape sequences may be filled, and is cut between them.
func fit(s string, width int, g glyphs) string {
	if width <= 0 {
		return ""
	}
	have := widthOf(s)
	if have > width {
		s = ansi.Truncate(s, width, g.ellipsis)
		have = widthOf(s)
	}
	return s + strings.Repeat(" ", max(0, width-have))
}

// right is fit with the blanks before the text.
func right(s string, width int, g glyphs) string {
	if have := widthOf(s); have < width {
		return strings.Repeat(" ", width-have) + s
	}
	return fit(s, width, g)
}

// none stands for a number that is not known.
const none = "-"

// percentText is a share with one decimal.
func percentText[N ~float64](v N) string {
	if v != v {
		return none
	}
	return fmt.Sprintf("%.1f", float64(v))
}

// sizeText is bytes in binary units with three digits, such as 4.88G.
func sizeText[N ~float64](n N) string {
	v := float64(n)
	if v != v {
		return none
	}
	for _, unit := range []string{"", "K", "M", "G", "T", "P"} {
		switch {
		case math.Abs(v) < 9.995 && unit != "":
			return fmt.Sprintf("%.2f%s", v, unit)
		case math.Abs(v) < 99.95 && unit != "":
			return fmt.Sprintf("%.1f%s", v, unit)
		case math.Abs(v) < 999.5:
			return fmt.Sprintf("%.0f%s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.0fE", v)
}

// rateText is bytes per second, in binary units for disks, in decimal ones for
// networks.
func rateText(n number, decimal bool) string {
	if !n.known() {
		return "no reading"
	}
	v := float64(n)
	switch {
	case !decimal && v < 999.5:
		return fmt.Sprintf("%.0f B/s", v)
	case !decimal:
		text := sizeText(n)
		return text[:len(text)-1] + " " + text[len(text)-1:] + "iB/s"
	}
	for _, unit := range []string{"B/s", "kB/s", "MB/s", "GB/s"} {
		if v < 999.5 {
			return fmt.Sprintf("%.3g %s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.3g TB/s", v)
}

// cpuTime is CPU seconds as htop shows them: 1:02.35, or 12h34m.
func cpuTime[N ~float64](n N) string {
	v := float64(n)
	switch {
	case v != v:
		return none
	case v < 3600:
		hundredths := int64(math.Round(v * 100))
		return fmt.Sprintf("%d:%02d.%02d", hundredths/6000, hundredths/100%60, hundredths%100)
	}
	return lengthText(time.Duration(v * float64(time.Second)))
}

// lengthText is a length of time in its two highest units.
func lengthText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// glyphs are the characters that drawings are made of.
type glyphs struct {
	ascii    bool
	levels   []string // Of a sparkline, from the lowest.
	full     string   // Used part of a bar.
	empty    string   // The rest.
	ellipsis string
	branch   string
	last     string
	pipe     string
	blank    string
	down, up string // Marks of the sort order.
	dot      string // Between parts of a sentence.
}

// glyphsFor are those that a terminal of this locale can show.
func glyphsFor(unicode bool) glyphs {
	if !unicode {
		return glyphs{
			true, []string{"_", ".", ":", "-", "=", "+", "*", "#"}, "|", ".", "~",
			"|- ", "`- ", "|  ", "   ", "v", "^", "-",
		}
	}
	return glyphs{
		false, []string{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, "■", "·", "…",
		"├─ ", "└─ ", "│  ", "   ", "↓", "↑", "·",
	}
}

// Unicode reports whether the locale of an environment has Unicode.
func Unicode(env []string) bool {
	for _, name := range []string{"LC_ALL=", "LC_CTYPE=", "LANG="} {
		for _, one := range env {
			if value, ok := strings.CutPrefix(one, name); ok && value != "" {
				value = strings.ToLower(value)
				return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
			}
		}
	}
	return false
}
