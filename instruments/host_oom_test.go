package instruments

import "testing"

func TestParseOOMVictim(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       OOMVictim
		ok         bool
	}{
		{
			"Linux 5 and later", "Out of memory: Killed process 2592 (mysqld) total-vm:1000kB, anon-rss:400kB, file-rss:20kB, shmem-rss:4kB, UID:106 pgtables:96kB oom_score_adj:0",
			OOMVictim{PID: 2592, Name: "mysqld", Cause: OOMMachine, Resident: 424 * 1024, ResidentKnown: true},
			true,
		},
		{
			"a control group's limit", "Memory cgroup out of memory: Killed process 77 (python3) total-vm:1000kB, anon-rss:400kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:96kB oom_score_adj:0",
			OOMVictim{PID: 77, Name: "python3", Cause: OOMCgroup, Resident: 400 * 1024, ResidentKnown: true},
			true,
		},
		{
			"the one who asked is killed", "Out of memory (oom_kill_allocating_task): Killed process 5 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0",
			OOMVictim{PID: 5, Name: "a", Cause: OOMMachine, Resident: 1024, ResidentKnown: true},
			true,
		},
		{
			"Linux 4.15", "Killed process 1234 (java) total-vm:5000kB, anon-rss:3000kB, file-rss:0kB, shmem-rss:0kB",
			OOMVictim{PID: 1234, Name: "java", Resident: 3000 * 1024, ResidentKnown: true},
			true,
		},
		{
			"Linux 3.10", "Killed process 1234 (java) total-vm:5000kB, anon-rss:3000kB, file-rss:8kB",
			OOMVictim{PID: 1234, Name: "java", Resident: 3008 * 1024, ResidentKnown: true},
			true,
		},
		{"without sizes", "Killed process 9 (x)", OOMVictim{PID: 9, Name: "x"}, true},
		{
			"a hostile name", `Out of memory: Killed process 9 (a) total-vm:\x0a(b) total-vm:1kB, anon-rss:2kB, UID:0`,
			OOMVictim{PID: 9, Name: "a) total-vm:\n(b", Cause: OOMMachine, Resident: 2048, ResidentKnown: true},
			true,
		},
		{"the plan, not the deed", "Out of memory: Kill process 1234 (java) score 900 or sacrifice child", OOMVictim{}, false},
		{"the reaper", "oom_reaper: reaped process 1234 (java), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB", OOMVictim{}, false},
		{"the cause", "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/x,task_memcg=/x,task=x,pid=7,uid=0", OOMVictim{}, false},
		{"another's words", "evil: Killed process 1 (systemd) total-vm:1kB", OOMVictim{}, false},
		{"no number", "Out of memory: Killed process many (x)", OOMVictim{}, false},
		{"a number below 1", "Out of memory: Killed process -3 (x)", OOMVictim{}, false},
		{"no end of the name", "Out of memory: Killed process 3 (x", OOMVictim{}, false},
		{"cut", "Out of memory: Killed process 3", OOMVictim{}, false},
		{"empty", "", OOMVictim{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := parseOOMVictim(c.line); got != c.want || ok != c.ok {
				t.Errorf("got %+v, %v; want %+v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func FuzzParseOOMVictim(f *testing.F) {
	f.Add(`Out of memory: Killed process 9 (a\x0a) total-vm:1kB, anon-rss:2kB, UID:0`)
	f.Fuzz(func(t *testing.T, line string) {
		if v, ok := parseOOMVictim(line); ok && v.PID <= 0 {
			t.Errorf("%q: %+v", line, v)
		}
	})
}

func TestKernelMessage(t *testing.T) {
	for _, c := range []struct {
		record, want string
		ok           bool
	}{
		{"3,1234,5140900,-;Killed process 1 (a; b)\n SUBSYSTEM=x\n", "Killed process 1 (a; b)", true},
		{"6,339,5140900,-,caller=T1;text\n", "text", true},
		{"12,340,5140901,-;Killed process 1 (systemd)\n", "", false}, // A program wrote it: facility 1.
		{"x,340,5140901,-;text\n", "", false},
		{"no head", "", false},
		{"", "", false},
	} {
		if got, ok := kernelMessage(c.record); got != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v; want %q, %v", c.record, got, ok, c.want, c.ok)
		}
	}
}
