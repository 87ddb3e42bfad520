package instruments

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestIOOfChildren: what the kernel has in the account of a parent and was counted as a
// child's is not counted again, no matter who waits and how late it shows.
func TestIOOfChildren(t *testing.T) {
	const mega = 1 << 20
	init := fake{pid: 1, comm: "init", faults: 10, childFaults: 900, write: 50 * mega}
	shell := fake{pid: 5, comm: "shell", faults: 100, childFaults: 300, write: 7 * mega}
	inner := fake{pid: 10, parent: 5, comm: "inner", faults: 40}
	writer := fake{pid: 20, parent: 10, comm: "writer", faults: 30}
	after := func(f fake, faults int, own, taken int) fake { // Its account some time later.
		f.childFaults, f.write, f.user = f.childFaults+faults, f.write+own+taken, f.user+1
		return f
	}
	type wants map[string]int
	for _, c := range []struct {
		what  string
		steps []func(p *processTree)
		want  wants
	}{
		{
			"a child that is waited for", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0)) },
				func(p *processTree) { p.remove(20); p.put(after(inner, 30, 0, 100*mega)) },
			}, wants{"writer": 100 * mega},
		},
		{
			"its last writes, by a parent that uses no processor", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 60*mega, 0)) },
				func(p *processTree) {
					p.remove(20)
					late := after(inner, 33, 0, 100*mega)
					late.user = inner.user
					p.put(late)
				},
			}, wants{"writer": 100 * mega},
		},
		{
			"a parent that writes as well", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, mega, 0), after(inner, 0, 30*mega, 0)) },
				func(p *processTree) { p.remove(20); p.put(after(after(inner, 0, 30*mega, 0), 30, 5*mega, mega)) },
			}, wants{"writer": mega, "inner": 35 * mega},
		},
		{
			"two that end in one tick", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0), after(inner, 0, mega, 0)) },
				func(p *processTree) { p.remove(20, 10); p.put(after(shell, 70, 0, 101*mega)) },
			}, wants{"writer": 100 * mega, "inner": mega},
		},
		{
			"an orphan that the first process waits for", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0), after(inner, 0, mega, 0)) },
				func(p *processTree) {
					p.remove(20, 10)
					p.put(after(shell, 40, 0, mega), after(init, 30, 0, 100*mega))
				},
				func(p *processTree) { p.put(after(after(init, 30, 0, 100*mega), 0, 2*mega, 0)) },
			}, wants{"writer": 100 * mega, "inner": mega, "init": 2 * mega},
		},
		{
			"an orphan known as such", []func(*processTree){
				func(p *processTree) {
					p.remove(10)
					orphan := after(writer, 0, 100*mega, 0)
					orphan.parent = 1
					p.put(orphan)
				},
				func(p *processTree) { p.remove(20); p.put(after(init, 30, 0, 100*mega)) },
			}, wants{"writer": 100 * mega},
		},
		{
			"a parent that leaves its children to the kernel", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0)) },
				func(p *processTree) { p.remove(20); p.put(after(inner, 0, 40*mega, 0)) },
				func(p *processTree) { p.put(after(inner, 0, 60*mega, 0)) },
				func(p *processTree) { p.put(after(inner, 0, 80*mega, 0)) },
			}, wants{"writer": 100 * mega, "inner": 80 * mega},
		},
		{
			"one that waits a tick later", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0)) },
				func(p *processTree) { p.remove(20) },
				func(p *processTree) { p.put(after(inner, 30, 0, 100*mega)) },
			}, wants{"writer": 100 * mega},
		},
		{
			"a zombie", []func(*processTree){
				func(p *processTree) {
					dead := after(writer, 0, 100*mega, 0)
					dead.state = 'Z'
					p.put(dead)
				},
				func(p *processTree) { p.remove(20); p.put(after(inner, 30, 9*mega, 100*mega)) },
			}, wants{"writer": 100 * mega, "inner": 9 * mega},
		},
		{
			"a child that was never seen, which its parent cannot be told from", []func(*processTree){
				func(p *processTree) { p.put(after(inner, 30, 0, 100*mega)) },
				func(p *processTree) { p.remove(10); p.put(after(shell, 70, 0, 100*mega)) },
			}, wants{"inner": 100 * mega},
		},
		{
			"one that ends while it is looked at", []func(*processTree){
				func(p *processTree) { p.put(after(writer, 0, 100*mega, 0)) },
				func(p *processTree) {
					if err := os.Remove(filepath.Join(p.root, "proc/20/io")); err != nil {
						p.t.Fatal(err)
					}
					p.put(after(inner, 30, 0, 100*mega))
				},
				func(p *processTree) { p.remove(20) },
			}, wants{"writer": 100 * mega},
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newProcessTree(t, Defaults())
			p.put(init, shell, inner, writer)
			p.read()
			var table *ProcessTable
			rows := map[string]int{}
			count := func() {
				table = p.read()
				for _, e := range table.Ended {
					rows["writer"] += int(e.WriteBytes)
				}
			}
			for _, step := range c.steps {
				step(p)
				count()
			}
			for range ioTurn {
				count()
			}
			for _, f := range []fake{init, shell, inner, writer} {
				if got := findProgram(t, table.Programs, f.comm).WriteBytes; got != uint64(c.want[f.comm]) {
					t.Errorf("%s has written %d bytes, want %d", f.comm, got, c.want[f.comm])
				}
			}
			for _, r := range table.All {
				before := map[int]int{1: init.write, 5: shell.write}[r.PID]
				if got := r.WriteBytes; got != uint64(before+c.want[r.Name]) {
					t.Errorf("the row of %s has %d bytes, want %d", r.Name, got, before+c.want[r.Name])
				}
			}
			if n := len(p.host.table.accounts.debtors); n != 0 {
				t.Errorf("%d processes are still waited for: %s", n, fmt.Sprint(p.host.table.accounts.debtors[0].io.children))
			}
		})
	}
}
