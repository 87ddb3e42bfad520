package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"
)

// longestPassword bounds what is read, in bytes: standard input may be any file.
const longestPassword = 4096

// readPassword asks for a password twice on a terminal, without echo; otherwise it
// reads the first line of standard input. A password is never an argument: every
// user of the machine can read those.
func (c Call) readPassword(of string) (string, error) {
	if c.In == nil {
		return "", errors.New("the password is read from standard input, which is closed")
	}
	terminal := int(c.In.Fd())
	if !term.IsTerminal(terminal) {
		line, err := bufio.NewReader(io.LimitReader(c.In, longestPassword)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("the password is read from standard input, whose first line is empty")
		}
		return line, nil
	}
	once, err := c.typed(terminal, "Password of "+of+": ")
	if err != nil {
		return "", err
	}
	again, err := c.typed(terminal, "Repeat: ")
	if err != nil {
		return "", err
	}
	if once != again {
		return "", errors.New("the passwords differ")
	}
	return once, nil
}

// typed asks once on the terminal.
func (c Call) typed(terminal int, question string) (string, error) {
	fmt.Fprint(c.Err, question)
	password, err := term.ReadPassword(terminal)
	fmt.Fprintln(c.Err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(password), nil
}
