package browser

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestSingleSignOn: nginx asks a server for the user, and names it to the agent.
func TestSingleSignOn(t *testing.T) {
	groups := map[string]string{"ada": "staff,sysotel-admins", "eve": "staff", "mallory": "guests"}
	verify := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := r.Cookie("sso")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Remote-User", session.Value)
		w.Header().Set("Remote-Groups", groups[session.Value])
	}))
	t.Cleanup(verify.Close)
	w := newWay(t, "--http.trusted-proxies=127.0.0.1", "--auth.proxy.user-header=Remote-User", "--auth.proxy.role-header=Remote-Groups",
		"--auth.proxy.admins=sysotel-admins", "--auth.proxy.viewers=staff", "--auth.proxy.local-users="+strconv.Itoa(os.Getuid()))
	w.startNginx(t, example(t, "nginx", 1, append(w.nginxPairs(), "127.0.0.1:9091", strings.TrimPrefix(verify.URL, "http://"))...))
	w.start()
	v := w.visit(t)
	as := func(name string) []string {
		return []string{"Cookie", "sso=" + name, "Remote-User", "ada", "Remote-Groups", "sysotel-admins"}
	}
	await(t, func() error {
		response, err := v.send(http.MethodGet, "/sysotel/-/ready", "", as("ada")...)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
	const me = "/sysotel/api/v1/auth/me"
	if _, text := v.want(200, "GET", me, "", as("ada")...); !strings.Contains(text, `"kind":"proxy","id":"proxy:ada","name":"ada","role":"admin"`) {
		t.Errorf("ada is %s", text)
	}
	if _, text := v.want(200, "GET", me, "", as("eve")...); !strings.Contains(text, `"name":"eve","role":"viewer"`) {
		t.Errorf("eve is %s", text)
	}
	v.want(403, "GET", me, "", as("mallory")...)
	v.want(401, "GET", me, "", "Remote-User", "ada", "Remote-Groups", "sysotel-admins") // Of nginx.
	v.want(200, "GET", "/sysotel/", "", as("eve")...)
	v.want(200, "GET", "/sysotel/api/v1/config", "", as("ada")...)
	v.want(403, "GET", "/sysotel/api/v1/config", "", as("eve")...)
	v.want(200, "POST", "/sysotel/api/v1/tokens", `{"name":"a"}`, as("ada")...)
	v.want(403, "POST", "/sysotel/api/v1/tokens", `{"name":"b"}`, as("eve")...)
	v.want(403, "POST", "/sysotel/api/v1/tokens", `{"name":"c"}`, append(as("ada"), "Origin", "https://evil.example")...)

	// The page of the account says who the proxy says it is, and has nothing of what is
	// the proxy's: neither a password nor logging out.
	b := open(startBrowser(t, chromedp.Flag("ignore-certificate-errors", true)), t, w.site(), desktop(), "status of 403", "manifest.webmanifest") // A browser asks for that without credentials.
	for name, role := range map[string]string{"ada": "admin", "eve": "viewer"} {
		b.do(network.SetCookie("sso", name).WithURL(w.site() + "/"))
		b.visit("/sysotel/settings")
		const section = `[...document.querySelectorAll('main section')].find((s) => s.querySelector('h2')?.innerText === 'Account')`
		b.waitFor(section + `?.innerText.includes('` + name + `')`)
		var account string
		b.eval(section+`.innerText`, &account)
		if !strings.Contains(strings.ToLower(account), role) || regexp.MustCompile(`(?i)password|log ?out|log ?in`).MatchString(account) {
			t.Errorf("the account of %s: %s", name, account)
		}
		b.photograph("account-of-" + name + "-by-proxy")
	}
}
