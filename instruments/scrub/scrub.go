// Package scrub masks secrets in command lines.
package scrub

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"sysotel/instruments/pattern"
)

// masked stands for a secret, however long that is.
const masked = "***"

// scrubber masks the secrets of command lines. It holds the patterns of
// processes.scrub: names that are secret beside those below.
//
// No program declares which of its arguments are secret, so this goes by names:
// what stands after --password, TOKEN= or Authorization: is masked, and what
// looks like a token wherever it stands. It errs on the side of masking too much. A secret
// that stands alone, by its place only, cannot be recognized; that is
// why command lines are off by default.
type scrubber []string

// secretEnds are the ends of names whose value is a secret, in whole words: api-key
// and dbPassword are, max_tokens is not.
var secretEnds = []string{
	"password", "passwords", "passwd", "passphrase", "passcode", "pass", "pwd", "secret", "secrets", "token",
	"apikey", "accesskey", "secretkey", "privatekey", "encryptionkey", "masterkey", "sharedkey", "accountkey", "authkey",
	"credential", "credentials", "authorization", "bearer", "cookie", "connectionstring", "passin", "passout",
}

// doubtful are words that name secrets or something else: a value is masked where
// it looks like chance.
var doubtful = []string{"key", "auth", "pin", "sig", "signature", "session", "sas", "salt", "license", "hash", "id", "data", "code"}

// harmless are last words of names that only refer to a secret.
var harmless = []string{"file", "path", "dir", "directory", "url", "uri", "endpoint", "type", "ttl", "expiry", "lifetime", "length", "mode", "method", "name", "policy", "through"}

// shortOptions are the letters of programs that are followed by a secret, joined
// or apart. Where a letter means user and password together, as in curl -u
// name:password, the whole is masked.
var shortOptions = map[string]string{
	"mysql": "p", "mysqldump": "p", "mysqladmin": "p", "mysqlimport": "p", "mysqlcheck": "p", "mysqlshow": "p", "mysqlbinlog": "p", "mysqlsh": "p",
	"mariadb": "p", "mariadb-dump": "p", "mariadb-admin": "p",
	"mongo": "p", "mongosh": "p", "mongodump": "p", "mongorestore": "p", "mongoexport": "p", "mongoimport": "p", "sqlcmd": "P", "bcp": "P", "isql": "P",
	"curl": "uUbE", "sshpass": "p", "redis-cli": "a", "ldapsearch": "w", "ldapmodify": "w", "ldapadd": "w", "ldapdelete": "w", "ldapwhoami": "w",
	"smbclient": "U", "zip": "P", "unzip": "P", "7z": "p", "7za": "p", "7zr": "p", "rar": "p", "unrar": "p",
	"ipmitool": "P", "snmpget": "cAX", "snmpwalk": "cAX", "snmpbulkwalk": "cAX", "xfreerdp": "p", "wpa_passphrase": "p", "mosquitto_pub": "P", "mosquitto_sub": "P", "kcat": "X",
}

// manyWords are the programs with the subcommand that takes -p for a password.
var manyWords = map[string]string{"docker": "login", "podman": "login", "oc": "login", "az": "login", "helm": "login", "buildah": "login", "skopeo": "login"}

var (
	// assignment is a name and the = after it, as options and variables have it.
	assignment = regexp.MustCompile(`^(-{0,2}[A-Za-z_/][\w.:/\[\]-]*)(=)`)
	// inner is the same inside of a word: of a URL's query or a list.
	inner = regexp.MustCompile(`([\w.\[\]-]+)(?:=|:|%3[Dd])`)
	// quotedPairs are those of JSON.
	quotedPairs = regexp.MustCompile(`((?:"|\\")([\w.-]+)(?:"|\\")\s*:\s*)("(?:[^"\\]|\\.)*"?|\\".*?(?:\\"|$))`)
	// address is what stands between :// and @ where a password does, also where
	// a / in it should have been written %2F.
	address = regexp.MustCompile(`(://)([^/?#\s@:]*)(:[^/?#\s]*@|:[^\s/?#]*[^\s/?#\d][^\s@]*@|@)`)
	// bareAddress is that of a database driver: user:password@tcp(host:3306)/name.
	bareAddress = regexp.MustCompile(`(^|["'=])([\w.+-]+):([^\s@/][^\s@]*)@([\w\[(])`)
	// tokens are recognized by how they begin.
	tokens = regexp.MustCompile(`\b(?:gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|sk-|sk_live_|rk_live_|sysotel_|hvs\.|dop_v1_|npm_|pypi-|SG\.|AIza|AKIA|ASIA|ya29\.|eyJ[\w-]+\.eyJ)[\w.+/=-]{8,}`)
	// pem is a key in the text form of certificates.
	pem = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

// CommandLine returns the arguments of a command with what can be recognized as a
// secret masked. names are patterns of names that are secret beside the known ones.
func CommandLine(args, names []string) []string { return scrubber(names).line(args) }

func (s scrubber) line(args []string) []string {
	clean := make([]string, len(args))
	w := scrubbing{scrubber: s}
	for i, arg := range args {
		clean[i] = w.argument(arg)
	}
	return clean
}

// scrubbing is the state of reading a line.
type scrubbing struct {
	scrubber
	// letters are the short options of the program that was named last; logsIn is
	// the word after which -p is one of them.
	letters, logsIn string
	// next is how the next word is treated.
	next secrecy
	// quote is the mark up to which everything is secret, 0 where none is open.
	quote byte
}

// secrecy is what is known of a word before it is seen.
type secrecy int

const (
	open       secrecy = iota
	suspicious         // It is masked where it looks like chance.
	secret             // It is masked, unless it is an option.
	heading            // It and all after it in its argument are masked: the value of a header.
)

// argument masks the secrets of one argument. An argument can be a whole script,
// as of sh -c, or a process' title: so it is read word by word.
func (w *scrubbing) argument(arg string) string {
	w.quote = 0
	if w.next == secret && !isOption(arg) {
		w.next = open
		w.learn(arg)
		if arg == "" {
			return arg
		}
		return masked
	}
	if m := assignment.FindStringSubmatch(arg); m != nil && len(m[0]) < len(arg) && w.secrecy(m[1]) == secret {
		return m[0] + masked
	}
	arg = pem.ReplaceAllString(arg, masked)
	arg = quotedPairs.ReplaceAllStringFunc(arg, func(pair string) string {
		m := quotedPairs.FindStringSubmatch(pair)
		if w.secrecy(m[2]) != secret {
			return pair
		}
		mark := m[3][:strings.IndexByte(m[3], '"')+1]
		return m[1] + mark + masked + mark
	})
	var b strings.Builder
	for arg != "" {
		space := len(arg) - len(strings.TrimLeftFunc(arg, unicode.IsSpace))
		b.WriteString(arg[:space])
		arg = arg[space:]
		end := strings.IndexFunc(arg, unicode.IsSpace)
		if end < 0 {
			end = len(arg)
		}
		b.WriteString(w.word(arg[:end]))
		arg = arg[end:]
	}
	if w.next == heading {
		w.next = open
		if len(strings.Fields(b.String())) == 1 {
			w.next = secret // "Authorization:" stood alone: its value is the next argument.
		}
	}
	return b.String()
}

// word masks the secrets of one word.
func (w *scrubbing) word(word string) string {
	if word == "" {
		return word
	}
	if w.quote != 0 {
		return w.quoted(word)
	}
	bare := strings.TrimLeft(word, "\"'`([{$")
	opening := word[:len(word)-len(bare)]
	bare = strings.TrimRight(bare, "\"'`)]},;")
	w.learn(bare)
	if shown, done := w.announced(word, bare); done {
		return shown
	}
	if shown, done := w.named(word, opening, bare); done {
		return shown
	}
	if strings.EqualFold(bare, "bearer") {
		w.next = secret
	} else if strings.HasPrefix(bare, "-") && !strings.ContainsAny(bare, "=:") {
		w.next = w.secrecy(bare)
	}
	return tokens.ReplaceAllString(w.pairs(addresses(word, bare)), masked)
}

// quoted masks a word inside of quotation marks, up to the closing one.
func (w *scrubbing) quoted(word string) string {
	mark := string(w.quote)
	if !strings.HasSuffix(word, mark) {
		return masked
	}
	w.quote = 0
	return masked + mark
}

// announced masks a word that the one before said to be secret; done is false where
// it did not.
func (w *scrubbing) announced(word, bare string) (shown string, done bool) {
	was := w.next
	switch {
	case (was == heading || was == secret) && isScheme(bare):
		return word, true // Bearer, and the token comes next.
	case was == heading:
		return masked, true // And so is the rest of the argument.
	}
	w.next = open
	switch {
	case was == secret && !isOption(bare):
		w.openQuote(word)
		return masked, true
	case was == suspicious && looksRandom(bare):
		return masked, true
	}
	return "", false
}

// named masks the value of a secret name in a word: -phunter2, TOKEN=abc. Where the
// name stands alone, as -p and Authorization: do, what follows is the secret. done
// is false where there is no such name.
func (w *scrubbing) named(word, opening, bare string) (shown string, done bool) {
	letter := len(bare) > 1 && bare[0] == '-' && bare[1] != '-' && w.takesSecret(bare[1])
	if letter && len(bare) > 2 {
		w.openQuote(word[len(opening)+2:])
		return opening + bare[:2] + masked, true
	}
	if letter || joined(bare) && w.takesSecret(bare[len(bare)-1]) {
		w.next = secret
		return word, true
	}
	if m := assignment.FindStringSubmatch(bare); m != nil && len(m[0]) < len(bare) && w.secrecy(m[1]) == secret {
		w.openQuote(bare[len(m[0]):])
		return opening + m[0] + masked, true
	}
	if name, ok := strings.CutSuffix(bare, ":"); ok && w.secrecy(lastName(name)) == secret {
		w.next = heading
		return word, true
	}
	return "", false
}

// takesSecret reports whether a short option of the program is followed by a secret.
func (w *scrubbing) takesSecret(letter byte) bool { return strings.IndexByte(w.letters, letter) >= 0 }

// addresses masks the passwords of URLs and of database drivers' addresses in a word.
func addresses(word, bare string) string {
	word = address.ReplaceAllStringFunc(word, func(part string) string {
		m := address.FindStringSubmatch(part)
		switch {
		case m[3] != "@":
			return m[1] + m[2] + ":" + masked + "@"
		case looksRandom(m[2]):
			return m[1] + masked + "@"
		}
		return part
	})
	if strings.HasPrefix(bare, "mailto:") || strings.Contains(word, "@sha256:") {
		return word
	}
	return bareAddress.ReplaceAllString(word, "${1}${2}:"+masked+"@${4}")
}

// pairs masks the values of secret names inside of a word, each up to what separates
// it from the next.
func (s scrubber) pairs(word string) string {
	var b strings.Builder
	for {
		m := inner.FindStringSubmatchIndex(word)
		if m == nil {
			b.WriteString(word)
			return b.String()
		}
		b.WriteString(word[:m[1]])
		name := word[m[2]:m[3]]
		word = word[m[1]:]
		end := strings.IndexAny(word, "&;,\"'`")
		if end < 0 {
			end = len(word)
		}
		value := word[:end]
		known := s.secrecy(name)
		if value != "" && !strings.HasPrefix(value, "//") && (known == secret || known == suspicious && looksRandom(value)) {
			b.WriteString(masked)
			word = word[end:]
		}
	}
}

// learn notes whether a word, secret or not, names a program.
func (w *scrubbing) learn(word string) {
	program := programWord(word)
	if letters, known := shortOptions[program]; known {
		w.letters = letters
	} else if login, known := manyWords[program]; known {
		w.letters, w.logsIn = "", login
	} else if w.logsIn != "" && word == w.logsIn {
		w.letters = "p"
	}
}

// openQuote has everything masked up to a mark of quotation that a word opens
// and does not close.
func (w *scrubbing) openQuote(value string) {
	if value == "" {
		return
	}
	if mark := value[0]; (mark == '"' || mark == '\'') && (len(value) == 1 || value[len(value)-1] != mark) {
		w.quote = mark
	}
}

// secrecy is how secret the value of a name is: of an option, a variable, a
// header or a parameter.
func (s scrubber) secrecy(name string) secrecy {
	name = strings.TrimLeft(name, "-/")
	if len(name) > 128 {
		name = name[len(name)-128:]
	}
	for _, own := range s {
		if pattern.Glob(strings.ToLower(own), strings.ToLower(name)) {
			return secret
		}
	}
	words := nameWords(name)
	if len(words) == 0 || slices.Contains(harmless, words[len(words)-1]) {
		return open
	}
	var begun strings.Builder
	for _, word := range words {
		begun.WriteString(word)
		if slices.ContainsFunc(secretEnds, func(end string) bool { return strings.HasSuffix(begun.String(), end) }) {
			return secret
		}
	}
	if slices.ContainsFunc(words, func(word string) bool { return slices.Contains(doubtful, word) }) {
		return suspicious
	}
	return open
}

// nameWords takes a name apart where a person would: db_password, X-Api-Key,
// clientSecret. Letters that are all upper-case are one word.
func nameWords(name string) []string {
	var words []string
	start, lower := 0, false
	cut := func(end int) {
		if end > start {
			words = append(words, strings.ToLower(name[start:end]))
		}
		start = end
	}
	for i, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			cut(i)
			start, lower = i+len(string(r)), false
			continue
		case unicode.IsUpper(r) && lower:
			cut(i)
		}
		lower = unicode.IsLower(r)
	}
	cut(len(name))
	return words
}

// lastName is the name at the end of a text: Header=X-Api-Key names X-Api-Key.
func lastName(text string) string {
	return text[strings.LastIndexAny(text, `="'`)+1:]
}

// programWord is the name of a program where a word can be one.
func programWord(word string) string {
	word = strings.TrimRight(word, "/")
	return strings.TrimSuffix(strings.ToLower(word[strings.LastIndexByte(word, '/')+1:]), ".exe")
}

// isOption reports whether a word is an option and no value: -h, --host. A dash
// may begin a password too, but hardly two, or one letter alone.
func isOption(word string) bool {
	if len(word) < 2 || word[0] != '-' {
		return false
	}
	return len(word) == 2 || len(word) > 2 && word[1] == '-'
}

// joined reports whether a word is short options in one: curl -sSu.
func joined(word string) bool {
	return len(word) > 2 && len(word) <= 6 && word[0] == '-' && !strings.ContainsFunc(word[1:], func(r rune) bool { return !unicode.IsLetter(r) })
}

// isScheme reports whether a word says how a header's credentials are written.
func isScheme(word string) bool {
	switch strings.ToLower(strings.TrimRight(word, ":")) {
	case "bearer", "basic", "digest", "token", "negotiate", "apikey", "aws4-hmac-sha256":
		return true
	}
	return false
}

// looksRandom reports whether a value looks like chance: sixteen letters and
// digits or more of base64 or hexadecimal, and no path.
func looksRandom(value string) bool {
	if len(value) < 16 || value[0] == '/' || value[0] == '.' {
		return false
	}
	letters, digits := 0, 0
	for i := range len(value) {
		switch c := value[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters++
		case strings.IndexByte("+/=_-.:%~", c) < 0:
			return false
		}
	}
	return letters > 0 && digits > 1 && letters+digits >= 16
}
