package notify

import (
	"net/url"

	"sysotel/agent/clienttls"
	"sysotel/agent/secret"
)

// checkSecret reports a secret that cannot be resolved.
func checkSecret(s secret.Text, path string, report reportFunc) {
	if _, err := s.Reveal(); err != nil {
		report(path, s, err.Error())
	}
}

// checkURL reports an invalid URL, without showing it: the URL of a webhook is a
// credential.
func checkURL(s secret.Text, path string, report reportFunc) *url.URL {
	text, err := s.Reveal()
	if err != nil {
		report(path, s, err.Error())
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		report(path, s, "must be a URL that begins with https:// or http://")
		return nil
	}
	return u
}

// checkCA reports a file without certificates.
func checkCA(file, path string, report reportFunc) {
	if _, err := clienttls.Config(file, ""); err != nil {
		report(path, file, err.Error())
	}
}

// checkLogin reports a user name without a password, and the other way round.
func checkLogin(username string, password secret.Text, report reportFunc) {
	if password != "" && username == "" {
		report("username", username, "is required with a password")
	}
	checkSecret(password, "password", report)
}
