# What can be done here; `make` alone prints it.
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS := -s -w -X main.version=$(VERSION)
PROGRAMS := go run ./otel-collector/programs/build
GO_FILES := $(shell find agent api instruments otel-collector dashboards -name '*.go' -not -name '*_test.go') go.mod go.sum
WEB_FILES := $(shell find dashboards/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*') dashboards/panels.json

help: ## print this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-9s %s\n", $$1, $$2}'

run: bin/sysotel ## build what is missing and run the agent with its defaults
	bin/sysotel run

stack: bin/sysotel ## run the full stack without Docker; SHIFT=10000 moves all its ports
	@go build -o bin/stack/stack ./otel-collector/programs/stack
	@exec bin/stack/stack -shift $(or $(SHIFT),0)

build: bin/sysotel ## build bin/sysotel

bin/sysotel: $(GO_FILES) dashboards/web/dist/index.html $(shell find agent api instruments -type f -not -name '*.go' -not -path '*/testdata/*')
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./agent

# Without Node nothing is made here, and the page says so.
dashboards/web/dist/index.html: $(WEB_FILES)
	dashboards/web/build.sh

test: bin/sysotel ## run everything that must pass, real programs included
	@$(PROGRAMS) otelcol prometheus promtool victoria-metrics telegraf gotestsum >/dev/null
	go vet ./...
	@for target in linux/arm64 darwin/arm64 windows/amd64; do \
		echo "build for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./agent || exit 1; \
	done
	@.ci/summary .ci/events

race: ## run the tests with the race detector
	go test -race -timeout 20m ./...

soak: bin/sysotel ## run the long forms of the tests: ten minutes and more
	@$(PROGRAMS) otelcol prometheus promtool victoria-metrics >/dev/null
	SYSOTEL_TEST_SOAK=10m go test -count=1 -timeout 60m -run 'Soak|Truth|Kill' -v ./agent/...

bench: bin/sysotel ## measure what the agent, the stack and the page cost
	@$(PROGRAMS) otelcol prometheus victoria-metrics >/dev/null
	go test -run '^$$' -bench . -benchmem ./instruments ./agent/pipeline ./api
	SYSOTEL_BENCH=1 go test -count=1 -timeout 60m -p 1 -run Cost -v ./agent/bench ./dashboards/browser

fuzz: ## fuzz every parser for 30 seconds each
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
			go test -run '^$$' -fuzz "^$$t$$" -fuzztime 30s ./$$(dirname $$f) || exit 1; \
		done; \
	done

# Tests that write golden files are named TestGolden...; a test in agent holds them
# to it. Without Node schema.ts stays as it is, and build.sh says so.
golden: ## rewrite every generated document and golden file
	go test -vet=off -run '^TestGolden' $$(grep -rl --include='*_test.go' 'flag.Bool("update"' agent api dashboards instruments otel-collector | xargs -n1 dirname | sort -u | sed 's|^|./|') -update
	dashboards/web/build.sh types

fmt: ## format the code
	$$($(PROGRAMS) golangci-lint) fmt

lint: ## check style and policy
	$$($(PROGRAMS) golangci-lint) run

# govulncheck ends with 3 where it found something and with 1 where it could not
# look, as without a network. Neither is a pass.
vulncheck: ## look for known holes in what is linked; GOVULNDB names another database
	@$$($(PROGRAMS) govulncheck) ./...; code=$$?; \
		if [ $$code != 0 ] && [ $$code != 3 ]; then echo "vulncheck: NOTHING WAS CHECKED: the database cannot be reached, or the code cannot be read; see above" >&2; fi; \
		exit $$code

cover: ## write coverage.out and print the coverage of each package
	go test -timeout 20m -coverprofile coverage.out ./...
	go tool cover -func coverage.out | tail -1

.PHONY: help run stack build test race soak bench fuzz golden fmt lint vulncheck cover
