package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// lines decodes the audit log.
func (d *authServer) lines() []map[string]any {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []map[string]any
	for line := range strings.Lines(d.audit.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			d.t.Fatalf("%v: %s", err, line)
		}
		all = append(all, one)
	}
	return all
}

// TestAudit: requests of all kinds and the audit log they cause. No secret is in any
// log or response.
func TestAudit(t *testing.T) {
	d := newAuthServer(t, nil)
	code, _, err := d.auth.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{code, testPassword, "not the password", "another good passphrase"}
	post := func(path, body string, header http.Header) string {
		return send(d.Server, remote, "POST", path, body, header).Body.String()
	}
	post(authPath+"/setup", `{"code":"`+code+`","name":"ada","password":"`+testPassword+`"}`, nil)
	var in Session
	if err := json.Unmarshal([]byte(post(authPath+"/login", `{"name":"ada","password":"`+testPassword+`"}`, nil)), &in); err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, in.AccessToken, in.RefreshToken)
	post(authPath+"/login", `{"name":"\u202e\u001b[2Jada","password":"not the password"}`, nil)
	admin := bearer(in.AccessToken)
	var made NewToken
	if err := json.Unmarshal([]byte(post("/api/v1/tokens", `{"name":"probe","role":"viewer"}`, admin)), &made); err != nil {
		t.Fatal(err)
	}
	secrets = append(secrets, made.Secret)
	post("/api/v1/users", `{"name":"grace","password":"another good passphrase"}`, admin)
	send(d.Server, remote, "GET", "/api/v1/users", "", bearer(made.Secret))
	send(d.Server, remote, "GET", "/api/v1/users", "", bearer("sysotel_wrong"))
	send(d.Server, remote, "DELETE", "/api/v1/tokens/"+made.Token.ID, "", admin)
	var second Session
	if err := json.Unmarshal([]byte(post(authPath+"/refresh", `{"refresh_token":"`+in.RefreshToken+`"}`, nil)), &second); err != nil {
		t.Fatal(err)
	}
	post(authPath+"/refresh", `{"refresh_token":"`+second.RefreshToken+`"}`, nil)
	post(authPath+"/refresh", `{"refresh_token":"`+in.RefreshToken+`"}`, nil)
	var got []string
	for _, line := range d.lines() {
		got = append(got, fmt.Sprintf("%v %v %v %v %v %v %v", line["action"], line["outcome"], line["kind"], line["name"], line["client"], line["target"], line["count"]))
		if line["time"] == nil {
			t.Errorf("%v has no time", line)
		}
	}
	want := []string{
		"set-up done user ada 192.0.2.7 ada 1",
		"log-in done user ada 192.0.2.7 ada 1",
		"log-in refused user  192.0.2.7 ??[2Jada 1",
		"add token as viewer done user ada 192.0.2.7 probe 1",
		"add user as viewer done user ada 192.0.2.7 grace 1",
		"request 403 refused token probe 192.0.2.7 GET /api/v1/users 1",
		"request 401 refused nobody  192.0.2.7 GET /api/v1/users 1",
		"revoke token done user ada 192.0.2.7 probe 1",
		"refresh token used twice refused user  192.0.2.7  1",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the audit log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, secret := range secrets {
		if strings.Contains(d.audit.String(), secret) || strings.Contains(d.log.String(), secret) {
			t.Errorf("a secret is in a log: %s\n%s", d.audit, d.log)
		}
	}
}

// TestRefusalsAreSummarised: endless requests cause one line a minute, and those of
// many addresses use bounded memory.
func TestRefusalsAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAuthServer(t, nil)
		knock := func(from string, times int) {
			for range times {
				send(d.Server, Caller{Address: from}, "GET", "/api/v1/config", "", bearer("x"))
			}
		}
		knock("192.0.2.7", 1000)
		knock("192.0.2.8", 1)
		if n := len(d.lines()); n != 2 {
			t.Fatalf("%d lines at once, want one a client", n)
		}
		d.writeRefusals(false)
		if n := len(d.lines()); n != 2 {
			t.Errorf("%d lines within the minute", n)
		}
		time.Sleep(refusalTime)
		d.writeRefusals(false)
		lines := d.lines()
		if len(lines) != 3 || lines[2]["client"] != "192.0.2.7" || lines[2]["count"] != 999.0 {
			t.Errorf("after a minute: %v", lines)
		}
		for i := range 3 * maxRefusals {
			knock(fmt.Sprintf("198.51.%d.%d", i/250, i%250), 1)
		}
		if n := len(d.refused.seen); n > maxRefusals+1 {
			t.Errorf("%d clients are remembered", n)
		}
		if n := len(d.lines()); n > maxRefusals+10 {
			t.Errorf("%d lines for many clients", n)
		}
		d.writeRefusals(true)
		if n := len(d.refused.seen); n != 0 {
			t.Errorf("%d are left at the end", n)
		}
	})
}
