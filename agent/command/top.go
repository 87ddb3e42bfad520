package command

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"sysotel/api"
)

// topEvery is how often top draws anew.
const topEvery = 2 * time.Second

// runTop shows the running agent's process table: once where the output is not
// a terminal or --once is given, else until it is stopped.
func runTop(c Call) int {
	once, order := !isTerminal(c.Out), "cpu"
	var rest []string
	for i := 0; i < len(c.Args); i++ {
		switch name, value, hasValue := strings.Cut(c.Args[i], "="); {
		case name == "--once":
			once = true
		case name == "--sort" && hasValue:
			order = value
		case name == "--sort" && i+1 < len(c.Args):
			i++
			order = c.Args[i]
		default:
			rest = append(rest, c.Args[i])
		}
	}
	c.Args = rest
	for {
		text, err := c.table(order)
		if err != nil {
			return c.fail(err)
		}
		if once {
			fmt.Fprint(c.Out, text)
			return 0
		}
		// Home, the text with each line's rest cleared, then the rest of the screen.
		fmt.Fprint(c.Out, "\x1b[H"+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J")
		select {
		case <-c.Stop.Done():
			return 0
		case <-time.After(topEvery):
		}
	}
}

// table is one screen of text.
func (c Call) table(order string) (string, error) {
	var processes api.Processes
	status, err := c.ask("/api/v1/metrics/processes?top=30&sort="+url.QueryEscape(order), &processes)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("the agent refuses (status %d); --sort takes cpu, memory or io", status)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %d processes, %d CPUs\n", printable(processes.Hostname), processes.Timestamp.Format(time.TimeOnly), processes.Total, processes.CPUCount)
	fmt.Fprintf(&b, "%8s %-12s %7s %7s %9s %9s %9s %4s %-9s %s\n", "PID", "USER", "CPU %1", "MEM %", "RSS", "READ/s", "WRITE/s", "THR", "STATUS", "NAME")
	for _, p := range processes.Processes {
		fmt.Fprintf(&b, "%8d %-12.12s %7s %7s %9s %9s %9s %4d %-9s %s\n",
			p.PID, printable(p.User), percent(float64(p.CPUPercentCore)), percent(float64(p.MemoryPercent)), size(float64(p.MemoryRSS)),
			size(float64(p.ReadBytesPerSec)), size(float64(p.WriteBytesPerSec)), p.NumThreads, printable(p.Status), printable(p.Name))
	}
	b.WriteString("CPU %1: 100 is one processor\n")
	return b.String(), nil
}

// percent is a number with one decimal, - where it is not known.
func percent(v float64) string {
	if v != v {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

// size is a number of bytes in binary units, - where it is not known.
func size(v float64) string {
	if v != v {
		return "-"
	}
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1000 {
			return fmt.Sprintf("%.4g%s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.4gTiB", v)
}

// printable replaces what could move a terminal's cursor: names are hostile.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// isTerminal tells whether somebody watches.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
