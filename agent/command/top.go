package command

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sysotel/api"
	"sysotel/instruments/sanitize"
)

// topInterval is how often top redraws.
const topInterval = 2 * time.Second

func topCommand() command {
	return command{
		name: "top", summary: "show the processes of this machine, as the running agent sees them",
		flags: []commandFlag{
			{name: "--once", help: "print the table once, as without a terminal"},
			{name: "--sort", value: "cpu|memory|io", help: "column to sort by", preset: "cpu"},
		},
		options: agentOptions, run: runTop,
		examples: []string{"sysotel top", "sysotel top --once --sort memory"},
	}
}

// runTop shows the process table: once without a terminal or with --once, else
// until c.Stop ends.
func runTop(c Call) int {
	_, once := c.flags["--once"]
	once = once || !isTerminal(c.Out)
	order := cmp.Or(c.flags["--sort"], "cpu")
	for {
		text, err := c.table(order)
		if err != nil {
			return c.fail(err)
		}
		if once {
			fmt.Fprint(c.Out, text)
			return 0
		}
		// Cursor home, the text with the rest of each line cleared, then the rest of the screen.
		fmt.Fprint(c.Out, "\x1b[H"+strings.ReplaceAll(text, "\n", "\x1b[K\n")+"\x1b[J")
		select {
		case <-c.Stop.Done():
			return 0
		case <-time.After(topInterval):
		}
	}
}

// table returns one screen of text.
func (c Call) table(order string) (string, error) {
	var processes api.Processes
	status, err := c.get("/api/v1/metrics/processes?top=30&sort="+url.QueryEscape(order), &processes)
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("the agent refuses (status %d); --sort takes cpu, memory or io", status)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %d processes, %d CPUs\n", sanitize.ReplaceUnprintable(processes.Hostname), processes.Timestamp.Format(time.TimeOnly), processes.Total, processes.CPUCount)
	fmt.Fprintf(&b, "%8s %-12s %7s %7s %9s %9s %9s %4s %-9s %s\n", "PID", "USER", "CPU %1", "MEM %", "RSS", "READ/s", "WRITE/s", "THR", "STATUS", "NAME")
	for _, p := range processes.Processes {
		fmt.Fprintf(&b, "%8d %-12.12s %7s %7s %9s %9s %9s %4d %-9s %s\n",
			p.PID, sanitize.ReplaceUnprintable(p.User), percent(float64(p.CPUPercentCore)), percent(float64(p.MemoryPercent)), size(float64(p.MemoryRSS)),
			size(float64(p.ReadBytesPerSec)), size(float64(p.WriteBytesPerSec)), p.NumThreads, sanitize.ReplaceUnprintable(p.Status), sanitize.ReplaceUnprintable(p.Name))
	}
	b.WriteString("CPU %1: 100 is one processor\n")
	return b.String(), nil
}

// percent formats a number with one decimal, NaN as -.
func percent(v float64) string {
	if v != v {
		return "-"
	}
	return fmt.Sprintf("%.1f", v)
}

// size formats a number of bytes in binary units, NaN as -.
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

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
