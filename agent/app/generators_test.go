package app

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sysotel/otel-collector/programs"
)

// clientTest makes a client of the OpenAPI document with a generator, builds it, and calls
// a running agent with it. The client prints the machine's name and "ok".
type clientTest struct {
	name string
	// soak: only in make soak, because it takes minutes.
	soak bool
	// files are those of the client's module beside what is generated.
	files map[string]string
	// commands generate, build and run it in its directory; DOCUMENT and AGENT stand for
	// the path of the document and the URL of the agent; generators are
	// programs of package programs.
	commands [][]string
}

// typescript are the settings of both generators for TypeScript.
const typescript = `{"compilerOptions": {"strict": true, "target": "ES2022", "module": "NodeNext", "moduleResolution": "NodeNext", "outDir": "built", "skipLibCheck": true, "lib": ["ES2022", "DOM", "DOM.Iterable"], "types": ["node"]}, "include": ["*.ts", "client"]}`

func clientTests() []clientTest {
	return []clientTest{
		{
			name: "oapi-codegen",
			files: map[string]string{"main.go": `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"sysotel/tools/openapi/client"
)

func main() {
	c, err := client.NewClientWithResponses(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	current, err := c.GetCurrentWithResponse(context.Background())
	if err != nil || current.JSON200 == nil || current.JSON200.Memory.Total == nil {
		log.Fatal(err, current)
	}
	var total float64 = float64(*current.JSON200.Memory.Total)
	top := int64(3)
	table, err := c.GetProcessesWithResponse(context.Background(), &client.GetProcessesParams{Top: &top})
	if err != nil || table.JSON200 == nil || len(table.JSON200.Processes) != 3 || total <= 0 {
		log.Fatal(err, table)
	}
	start := "yesterday"
	wrong, err := c.GetCpuWithResponse(context.Background(), &client.GetCpuParams{Start: &start})
	if err != nil || wrong.ApplicationproblemJSON422 == nil || wrong.ApplicationproblemJSON422.Detail == nil {
		log.Fatal(err, wrong)
	}
	health, err := c.GetHealthWithResponse(context.Background(), nil)
	if err != nil || health.JSON200 == nil {
		log.Fatal(err, health)
	}
	fmt.Println(current.JSON200.Hostname, "ok")
}
`},
			commands: [][]string{
				{"oapi-codegen", "-generate", "types,client", "-package", "client", "-o", "client/client.go", "DOCUMENT"},
				{"go", "build", "-o", "example", "."},
				{"./example", "AGENT"},
			},
		},
		{
			name: "ogen", soak: true,
			files: map[string]string{"main.go": `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ogen-go/ogen/ogenerrors"

	"sysotel/tools/openapi/client"
)

type none struct{}

func (none) Basic(context.Context, client.OperationName) (client.Basic, error) {
	return client.Basic{}, ogenerrors.ErrSkipClientSecurity
}

func (none) Bearer(context.Context, client.OperationName) (client.Bearer, error) {
	return client.Bearer{Token: "none"}, nil
}

func (none) Cookie(context.Context, client.OperationName) (client.Cookie, error) {
	return client.Cookie{}, ogenerrors.ErrSkipClientSecurity
}

func main() {
	c, err := client.NewClient(os.Args[1], none{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := c.GetCurrent(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	current, ok := answer.(*client.Current)
	if !ok || current.Memory.Total.Value <= 0 {
		log.Fatalf("%T %+v", answer, answer)
	}
	table, err := c.GetProcesses(context.Background(), client.GetProcessesParams{Top: client.NewOptInt64(3)})
	if err != nil {
		log.Fatal(err)
	}
	if table, ok := table.(*client.Processes); !ok || len(table.Processes) != 3 {
		log.Fatalf("%T %+v", table, table)
	}
	fmt.Println(current.Hostname, "ok")
}
`},
			commands: [][]string{
				{"ogen", "--target", "client", "--package", "client", "--clean", "--config", "ogen.yml", "DOCUMENT"},
				{"go", "build", "-o", "example", "."},
				{"./example", "AGENT"},
			},
		},
		{
			name: "openapi-typescript with openapi-fetch", soak: true,
			files: map[string]string{
				"tsconfig.json": typescript,
				"package.json":  `{"private": true, "type": "module", "dependencies": {"openapi-fetch": "0.17.0"}, "devDependencies": {"@types/node": "^20", "openapi-typescript": "7.13.0", "typescript": "^5.9.3"}}`,
				"main.ts": `import createClient from 'openapi-fetch'
import type { paths } from './schema.js'

const client = createClient<paths, 'application/json' | 'application/problem+json'>({ baseUrl: process.argv[2]! })
const { data, error } = await client.GET('/api/v1/metrics/current')
if (error) throw new Error(error.detail)
const total: number | null = data.memory.total
const wrong = await client.GET('/api/v1/metrics/processes', { params: { query: { top: 0 } } })
if (wrong.response.status !== 422 || !wrong.error?.detail) throw new Error('no problem')
if (!total) throw new Error('no memory')
const series = await client.GET('/api/v1/metrics/memory', { params: { query: { metric: ['memory_percent'], start: '-2m', step: '1s' } } })
const points: (number | null)[] = series.data?.series?.[0]?.avg ?? []
if (!points.some((p) => p === null) || !points.some((p) => typeof p === 'number')) throw new Error('no gap: ' + JSON.stringify(series))
const events = await client.GET('/api/v1/events')
const since: string | null | undefined = events.data?.events[0]?.from
if (since !== null) throw new Error('no event without a beginning: ' + JSON.stringify(events))
const added = await client.POST('/api/v1/alerts/rules', { body: { name: 'FromTypeScript', metric: 'memory_percent', op: '>', threshold: 101 } })
if (added.data?.threshold?.threshold !== 101) throw new Error(JSON.stringify(added))
const rules = await client.GET('/api/v1/alerts/rules')
if (!rules.data?.rules.some((r) => r.name === 'FromTypeScript')) throw new Error('no rule')
const removed = await client.DELETE('/api/v1/alerts/rules/{name}', { params: { path: { name: 'FromTypeScript' } } })
if (removed.error) throw new Error(JSON.stringify(removed.error))
console.log(data.hostname, 'ok')
`,
			},
			commands: [][]string{
				{"npm", "install", "--no-audit", "--no-fund", "--loglevel=error"},
				{"npx", "openapi-typescript", "DOCUMENT", "-o", "schema.ts"},
				{"npx", "tsc"},
				{"node", "built/main.js", "AGENT"},
			},
		},
		{
			name: "@hey-api/openapi-ts", soak: true,
			files: map[string]string{
				"tsconfig.json": typescript,
				"package.json":  `{"private": true, "type": "module", "devDependencies": {"@hey-api/openapi-ts": "0.99.0", "@types/node": "^20", "typescript": "^5.9.3"}}`,
				"main.ts": `import { client } from './client/client.gen.js'
import { addThreshold, deleteThreshold, getCurrent, getEvents, getMemory, getProcesses, listAlertRules } from './client/sdk.gen.js'

client.setConfig({ baseUrl: process.argv[2]! })
const { data, error } = await getCurrent()
if (error || !data) throw new Error(JSON.stringify(error))
const total: number | null = Number(data.memory.total)
const wrong = await getProcesses({ query: { top: 0 } })
if (wrong.response?.status !== 422) throw new Error('no problem')
if (!total) throw new Error('no memory')
const series = await getMemory({ query: { metric: ['memory_percent'], start: '-2m', step: '1s' } })
const points: (number | null)[] = series.data?.series?.[0]?.avg ?? []
if (!points.some((p) => p === null) || !points.some((p) => typeof p === 'number')) throw new Error('no gap: ' + JSON.stringify(series.data))
const events = await getEvents()
const since: string | null | undefined = events.data?.events[0]?.from
if (since !== null) throw new Error('no event without a beginning: ' + JSON.stringify(events.data))
const added = await addThreshold({ body: { name: 'FromHey', metric: 'memory_percent', op: '>', threshold: 101 } })
if (added.data?.threshold?.threshold !== 101) throw new Error(JSON.stringify(added))
const rules = await listAlertRules()
if (!rules.data?.rules.some((r) => r.name === 'FromHey')) throw new Error('no rule')
const removed = await deleteThreshold({ path: { name: 'FromHey' } })
if (removed.error) throw new Error(JSON.stringify(removed.error))
console.log(data.hostname, 'ok')
`,
			},
			commands: [][]string{
				{"npm", "install", "--no-audit", "--no-fund", "--loglevel=error"},
				{"npx", "openapi-ts", "-i", "DOCUMENT", "-o", "client"},
				{"npx", "tsc"},
				{"node", "built/main.js", "AGENT"},
			},
		},
	}
}

// ogenConfig has what ogen cannot do left out: it has no server-sent events, and text in
// two formats for one response is refused otherwise.
const ogenConfig = `generator:
  ignore_not_implemented: [all]
`

// TestSoakGenerators: the document makes clients with the usual generators, and these talk
// to a running agent. make test makes one, make soak all.
func TestSoakGenerators(t *testing.T) {
	a := run(t, configure(t))
	a.ticks(2)
	document := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(document, get(t, a.socket, "/openapi.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clientTests() {
		if c.soak && os.Getenv("SYSOTEL_TEST_SOAK") == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if _, ok := c.files["main.go"]; ok {
				for _, name := range []string{"go.mod", "go.sum"} {
					content, err := os.ReadFile(filepath.Join(root, "otel-collector/tools/openapi", name))
					if err != nil {
						t.Fatal(err)
					}
					c.files[name] = string(content)
				}
				c.files["client/package.go"], c.files["ogen.yml"] = "package client\n", ogenConfig
			}
			for name, text := range c.files {
				path := filepath.Join(dir, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			var said []byte
			for _, words := range c.commands {
				said = runIn(t, dir, words, document, "http://"+a.Addr().String())
			}
			if !strings.HasSuffix(strings.TrimSpace(string(said)), " ok") {
				t.Errorf("the client says %s", said)
			}
		})
	}
}

// runIn runs a command of a clientTest and returns what it prints.
func runIn(t *testing.T, dir string, words []string, document, agent string) []byte {
	t.Helper()
	var args []string
	for _, word := range words {
		args = append(args, strings.NewReplacer("DOCUMENT", document, "AGENT", agent).Replace(word))
	}
	if args[0] == "oapi-codegen" || args[0] == "ogen" {
		args[0] = programs.Path(t, args[0])
	}
	if strings.HasPrefix(args[0], "./") {
		args[0] = filepath.Join(dir, args[0])
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0")
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, printed.Bytes())
	}
	return printed.Bytes()
}
