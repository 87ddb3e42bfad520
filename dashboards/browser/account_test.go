package browser

import (
	"errors"
	"net/http"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAccount goes through the pages as the first administrator does.
func TestAccount(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, guarded)
	// What is asked for without a log-in is refused, which the browser tells.
	b := open(browser, t, a.url, desktop(), "status of 401", "status of 409")
	const password = "a sentence nobody guesses"

	// The link is printed after the server answers.
	var code []string
	await(t, func() error {
		code = regexp.MustCompile(regexp.QuoteMeta(a.url) + `(/setup#\S+)`).FindStringSubmatch(a.Output())
		if code == nil {
			return errors.New("the agent printed no link")
		}
		return nil
	})
	b.visit(code[1])
	b.do(chromedp.WaitVisible("#setup"))
	b.photograph("setup")
	b.fill("#name", "ada")
	b.fill("#password", password)
	b.fill("#again", password+"?")
	b.do(chromedp.Click("#setup button"))
	b.waitFor(`document.querySelector('#error').innerText === 'The two passwords differ.'`)
	b.fill("#again", password)
	b.do(chromedp.Click("#setup button"))
	b.waitFor(`location.pathname === '/' && document.querySelectorAll('.meter').length >= 7`)
	b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })

	// The link was good once.
	b.visit(code[1])
	b.fill("#name", "eve")
	b.fill("#password", password)
	b.fill("#again", password)
	b.do(chromedp.Click("#setup button"))
	b.waitFor(`document.querySelector('#error').innerText.includes('an administrator already')`)

	b.visit("/settings")
	b.waitFor(`document.querySelector('main').innerText.includes('Logged in as ada')`)
	b.do(chromedp.Click(button("Log out")))
	b.waitFor(`location.pathname === '/login'`)

	// Without a log-in there is only the page to log in, which knows the way back.
	b.visit("/alerts")
	b.waitFor(`location.pathname === '/login' && document.activeElement.id === 'name'`)
	b.fill("#name", "ada")
	b.fill("#password", "a sentence somebody guesses")
	b.do(chromedp.Click("#login button"))
	b.waitFor(`document.querySelector("#error").innerText.includes("password is wrong")`)
	b.photograph("wrong")
	b.fill("#password", password)
	b.do(chromedp.Click("#login button"))
	b.waitFor(`location.pathname === '/alerts' && document.querySelector('#tab-rules')`)

	// A token for a program, which is good until it is revoked.
	b.visit("/settings")
	b.do(chromedp.Click(button("New token")))
	b.photograph("settings")
	b.fill(field("What for"), "backup-script")
	b.do(chromedp.Click("//main//form//button[@type='submit']"))
	b.do(chromedp.WaitVisible(".secret code"))
	token := b.text(".secret code")
	b.photograph("token")
	if got := a.status(token); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if got := a.status(token + "x"); got != http.StatusUnauthorized {
		t.Errorf("with another token: %d", got)
	}
	b.do(chromedp.Click(button("Revoke")), chromedp.Click("//main//*[@class='sure']/button[1]"))
	b.waitFor(`document.querySelector('main').innerText.includes('No token was made')`)
	if got := a.status(token); got != http.StatusUnauthorized {
		t.Errorf("with the token that was revoked: %d", got)
	}
}

// status is what the agent answers to a program with a token.
func (a *agent) status(token string) int {
	a.tb.Helper()
	request, err := http.NewRequestWithContext(a.tb.Context(), http.MethodGet, a.url+"/api/v1/metrics/current", nil)
	if err != nil {
		a.tb.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.tb.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
