package scrub

import (
	"strings"
	"testing"
)

func TestScrub(t *testing.T) {
	// The arguments stand one a |, as no shell would be needed to read them.
	f := func(line, want string) {
		t.Helper()
		got := strings.Join(scrubber{"*_serial", "x-house-*"}.line(strings.Split(line, "|")), "|")
		if got != want {
			t.Errorf("%s\nis shown as %s\nwant        %s", line, got, want)
		}
		if again := strings.Join(scrubber(nil).line(strings.Split(got, "|")), "|"); again != got {
			t.Errorf("%s\nscrubbed twice is %s", got, again)
		}
	}
	// Options, apart and joined.
	f("tool|--password|hunter2|--user|bob", "tool|--password|***|--user|bob")
	f("tool|--password=hunter2|x", "tool|--password=***|x")
	f("tool|--password=two words", "tool|--password=***")
	f("tool|-password|hunter2", "tool|-password|***")
	f("tool|--db-password|hunter2", "tool|--db-password|***")
	f("tool|--dbPassword|hunter2", "tool|--dbPassword|***")
	f("tool|--api-key|abc", "tool|--api-key|***")
	f("tool|--client-secret=abc", "tool|--client-secret=***")
	f("tool|--password|--verbose|x", "tool|--password|--verbose|x")
	f("tool|--password|-dashed", "tool|--password|***")
	f("tool|--passwords=a,b,c", "tool|--passwords=***")
	f("java|-Dspring.datasource.password=hunter2|-jar|app.jar", "java|-Dspring.datasource.password=***|-jar|app.jar")
	f("setup.exe|/password:hunter2", "setup.exe|/password:***")
	// By program.
	f("mysql|-uroot|-phunter2|shop", "mysql|-uroot|-p***|shop")
	f("/usr/bin/mysqldump|-p|hunter2", "/usr/bin/mysqldump|-p|***")
	f("sudo|mysql|-phunter2", "sudo|mysql|-p***")
	f("ssh|-p|22|host", "ssh|-p|22|host")
	f("curl|-u|bob:hunter2|https://example.org/", "curl|-u|***|https://example.org/")
	f("curl|-sSu|bob:hunter2|https://example.org/", "curl|-sSu|***|https://example.org/")
	f("sshpass|-phunter2|ssh|host", "sshpass|-p***|ssh|host")
	f("redis-cli|-h|db|-a|hunter2|PING", "redis-cli|-h|db|-a|***|PING")
	f("docker|login|-u|bob|-p|hunter2", "docker|login|-u|bob|-p|***")
	f("docker|run|-p|8080:80|nginx:1.27@sha256:0123456789abcdef", "docker|run|-p|8080:80|nginx:1.27@sha256:0123456789abcdef")
	// Variables.
	f("env|AWS_SECRET_ACCESS_KEY=abc/def+ghi|aws|s3|ls", "env|AWS_SECRET_ACCESS_KEY=***|aws|s3|ls")
	f("env|PGPASSWORD=hunter2|psql", "env|PGPASSWORD=***|psql")
	f("docker|run|-e|MYSQL_ROOT_PASSWORD=hunter2|mysql", "docker|run|-e|MYSQL_ROOT_PASSWORD=***|mysql")
	f("docker|run|--env=DB_PASS=hunter2|app", "docker|run|--env=DB_PASS=***|app")
	f("vault|login|token=abc", "vault|login|token=***")
	// Addresses.
	f("psql|postgres://bob:hunter2@db:5432/shop?sslmode=require", "psql|postgres://bob:***@db:5432/shop?sslmode=require")
	f("app|--url=https://bob:hun/ter2@db/x", "app|--url=https://bob:***@db/x")
	f("git|clone|https://ghp_0123456789abcdefghijABCDEFGHIJ0123456@github.com/a/b", "git|clone|https://***@github.com/a/b")
	f("curl|https://example.org:8443/users/@bob", "curl|https://example.org:8443/users/@bob")
	f("curl|https://example.org/x?token=abc&page=2", "curl|https://example.org/x?token=***&page=2")
	f("app|--dsn|bob:hunter2@tcp(db:3306)/shop", "app|--dsn|bob:***@tcp(db:3306)/shop")
	f("git|clone|git@github.com:a/b.git", "git|clone|git@github.com:a/b.git")
	f("psql|host=db password=hunter2 user=bob", "psql|host=db password=*** user=bob")
	f("app|Server=db;User Id=sa;Password=hunter2;Encrypt=yes", "app|Server=db;User Id=sa;Password=***;Encrypt=yes")
	// Headers.
	f("curl|-H|Authorization: Bearer abc.def", "curl|-H|Authorization: Bearer ***")
	f("curl|-H|authorization: Basic Ym9iOmh1bnRlcjI=", "curl|-H|authorization: Basic ***")
	f("curl|-H|Authorization: abc", "curl|-H|Authorization: ***")
	f("curl|--header=X-Api-Key: abc", "curl|--header=X-Api-Key: ***")
	f("curl|-H|X-Api-Key:abc", "curl|-H|X-Api-Key:***")
	f("curl|-H|Cookie: a=b; c=d|https://x", "curl|-H|Cookie: *** ***|https://x")
	f("curl|-H|X-House-Pet: rex", "curl|-H|X-House-Pet: ***")
	// Whole scripts in one argument, and titles.
	f("sh|-c|mysql -phunter2 < dump.sql", "sh|-c|mysql -p*** < dump.sql")
	f(`sh|-c|deploy --password "two words" --to prod`, `sh|-c|deploy --password *** ***" --to prod`)
	f(`sh|-c|curl -H 'Authorization: Bearer abc' https://x`, `sh|-c|curl -H 'Authorization: Bearer *** ***`)
	f("sh|-c|export TOKEN=abc; run", "sh|-c|export TOKEN=*** run")
	f("worker: amqp://bob:hunter2@mq/ (idle)", "worker: amqp://bob:***@mq/ (idle)")
	f(`curl|-d|{"user": "bob", "password": "hun\"ter 2", "n": 1}`, `curl|-d|{"user": "bob", "password": "***", "n": 1}`)
	// What looks like a token.
	f("tool|xoxb-123456789012-abcdefghij", "tool|***")
	f("tool|eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "tool|***")
	f("tool|--key|0123456789abcdef0123456789abcdef", "tool|--key|***")
	f("tool|--key=c2VjcmV0LXNlY3JldC0wMTIz", "tool|--key=***")
	f("tool|-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "tool|***")
	f("agent|board_serial=x1", "agent|board_serial=***")
	// What is none.
	f("sort|--key=2|file", "sort|--key=2|file")
	f("vllm|--max-tokens|4096|--tokenizer|llama", "vllm|--max-tokens|4096|--tokenizer|llama")
	f("app|--password-file|/run/secrets/db|--tls-key=/etc/app/key.pem", "app|--password-file|/run/secrets/db|--tls-key=/etc/app/key.pem")
	f("app|--token-url=https://example.org/token", "app|--token-url=https://example.org/token")
	f("rsync|-a|/home/bob/|backup:/srv/bob/", "rsync|-a|/home/bob/|backup:/srv/bob/")
	f("postgres: checkpointer ", "postgres: checkpointer ")
	f("nginx: master process /usr/sbin/nginx -g daemon on; master_process on;", "nginx: master process /usr/sbin/nginx -g daemon on; master_process on;")
	f("", "")
	f("tool||x", "tool||x")
}

// FuzzScrub: whatever stands before it in a command line, a secret at a place
// where one is known to stand is never shown.
func FuzzScrub(f *testing.F) {
	f.Add("curl|-H|Authorization: x", uint8(0))
	f.Add("sh|-c|mysql --password \"a", uint8(3))
	f.Add("--token|", uint8(5))
	f.Add("a|'|\xff\x00|-----BEGIN RSA PRIVATE KEY-----", uint8(7))
	f.Fuzz(func(t *testing.T, before string, place uint8) {
		const secret = "Tr0ub4dor"
		places := [][]string{
			{"--password=" + secret},
			{"DB_PASSWORD=" + secret},
			{"--password", secret},
			{"--api-key", secret},
			{"https://bob:" + secret + "@host/"},
			{"https://host/?token=" + secret},
			{"X-Api-Key: " + secret},
			{"Authorization: Bearer " + secret},
			{`{"password":"` + secret + `"}`},
			{"mysql", "-p" + secret},
		}
		args := strings.Split(before, "|")
		if strings.Contains(strings.Join(args, " "), secret) {
			return
		}
		args = append(args, places[int(place)%len(places)]...)
		clean := scrubber(nil).line(args)
		if len(clean) != len(args) {
			t.Fatalf("%d arguments became %d", len(args), len(clean))
		}
		if strings.Contains(strings.Join(clean, " "), secret) {
			t.Fatalf("%q shows a secret: %q", args, clean)
		}
	})
}
