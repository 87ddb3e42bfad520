package browser

import (
	"errors"
	"net/http"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAccount follows the first administrator through the pages.
func TestAccount(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, guarded)
	// Requests without a login are refused, which the browser logs.
	b := open(browser, t, a.url, desktop(), "status of 401", "status of 409", "status of 403", "status of 422")
	const password = "a sentence nobody guesses"

	// The link is printed once the server responds.
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
	b.accessible(false)
	b.photograph("setup")
	b.fill("#name", "ada")
	b.fill("#password", password)
	b.fill("#again", password+"?")
	b.do(click("#setup button"))
	b.waitFor(`document.querySelector('#error').innerText === 'The passwords do not match.'`)
	b.fill("#again", password)
	b.do(click("#setup button"))
	b.waitFor(`location.pathname === '/' && document.querySelectorAll('.meter').length >= 7`)
	b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })

	// The link works once.
	b.visit(code[1])
	b.fill("#name", "eve")
	b.fill("#password", password)
	b.fill("#again", password)
	b.do(click("#setup button"))
	b.waitFor(`document.querySelector('#error').innerText.includes('There already is an administrator')`)

	b.visit("/settings")
	b.waitFor(`document.querySelector('main').innerText.includes('Logged in as ada')`)
	b.do(click(button("Log out")))
	b.waitFor(`location.pathname === '/login'`)

	// Without a login there is only the login page, which leads back.
	b.visit("/alerts")
	b.waitFor(`location.pathname === '/login' && document.activeElement.id === 'name'`)
	b.accessible(false)
	b.photograph("login")
	b.fill("#name", "ada")
	b.fill("#password", "a sentence somebody guesses")
	b.do(click("#login button"))
	b.waitFor(`document.querySelector("#error").innerText.includes("password is wrong")`)
	b.photograph("wrong")
	b.fill("#password", password)
	b.do(click("#login button"))
	b.waitFor(`location.pathname === '/alerts' && document.querySelector('#tab-rules')`)

	// An API token, which works until it is revoked.
	b.visit("/settings")
	b.waitFor(`/last login.*No tokens/s.test(document.querySelector('main').innerText)`)
	b.do(click(button("New token")))
	b.photograph("settings")
	b.fill(field("Name"), "backup-script")
	b.do(click("//main//form//button[@type='submit']"))
	b.do(chromedp.WaitVisible(".secret code"))
	token := b.text(".secret code")
	b.photograph("token")
	if got := a.status(token); got != http.StatusOK {
		t.Errorf("with the token: %d", got)
	}
	if got := a.status(token + "x"); got != http.StatusUnauthorized {
		t.Errorf("with another token: %d", got)
	}
	b.do(click(button("Revoke")), click("//main//*[@class='sure']/button[1]"))
	b.waitFor(`document.querySelector('main').innerText.includes('No tokens')`)
	if got := a.status(token); got != http.StatusUnauthorized {
		t.Errorf("with the token that was revoked: %d", got)
	}

	// Another user, a viewer.
	b.do(click(button("New user")))
	b.fill(field("Name"), "bob")
	b.fill(field("Password"), "short")
	b.do(click("//main//form//button[@type='submit']"))
	b.waitFor(`document.querySelector('form input[type=password]').validity.tooShort`)
	b.fill(field("Password"), password+" twice")
	b.accessible(false)
	b.photograph("user")
	b.do(click("//main//form//button[@type='submit']"))
	b.waitFor(`[...document.querySelectorAll('.list li')].some((l) => /bob\s+viewer/.test(l.innerText))`)
	b.photograph("users")

	// Changing the password requires the current one.
	const changed = "another sentence nobody guesses"
	b.do(click(button("Change password")))
	b.fill(field("Current password"), "not this one, surely")
	b.fill(field("Password"), changed)
	b.do(click("//main//form//button[@type='submit']"))
	b.waitFor(`document.querySelector('main form [role=alert]')?.innerText.includes('password')`)
	b.photograph("password")
	b.fill(field("Current password"), password)
	b.do(click("//main//form//button[@type='submit']"), click(button("Log out")))
	b.logIn("ada", password)
	b.waitFor(`document.querySelector("#error").innerText.includes("password is wrong")`)
	b.logIn("ada", changed)
	b.waitFor(`location.pathname === '/' && document.querySelector('.status strong')`)
	b.visit("/settings")
	b.do(click(button("Log out")))

	b.logIn("bob", password+" twice")
	b.waitFor(`location.pathname === '/' && document.querySelector('.status strong')`)
	b.visit("/alerts")
	b.do(click("#tab-rules"))
	b.waitFor(`document.querySelector('[aria-label=Rules] .list') && ![...document.querySelectorAll('main button')].some((b) => /New rule|Edit|Delete/.test(b.innerText))`)
	b.visit("/settings")
	b.waitFor(`document.querySelector('main').innerText.includes('Logged in as bob, viewer') && !/Users|Tokens/.test(document.querySelector('main').innerText)`)
	var refused int
	b.do(chromedp.Evaluate(`fetch('/api/v1/users').then((r) => r.status)`, &refused, awaitPromise))
	if refused != http.StatusForbidden {
		t.Errorf("a viewer who asks for the users is answered %d", refused)
	}
}

// logIn fills in the login page.
func (b *tab) logIn(name, password string) {
	b.Helper()
	b.waitFor(`location.pathname === '/login' && document.readyState === 'complete' && document.querySelector('#name')`)
	b.fill("#name", name)
	b.fill("#password", password)
	b.do(click("#login button"))
}

// status returns the response status of a request with a token.
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
