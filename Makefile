# `make` alone lists the targets.
.DEFAULT_GOAL := help

# Nothing reads the VCS information, and getting it fails if another user owns the checkout.
export GOFLAGS := $(shell go env GOFLAGS 2>/dev/null) -buildvcs=false

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS := -s -w -X main.version=$(VERSION)
PROGRAMS := go run ./otel-collector/programs/build
GO_FILES := $(shell find agent api instruments otel-collector dashboards -name '*.go' -not -name '*_test.go') go.mod go.sum
WEB_FILES := $(shell find dashboards/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*') dashboards/panels.json

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

run: bin/sysotel ## build bin/sysotel and run it with its defaults
	bin/sysotel run

stack: bin/sysotel ## run the full stack without Docker; SHIFT=10000 adds 10000 to every port
	@go build -o bin/stack/stack ./otel-collector/programs/stack
	@exec bin/stack/stack -shift $(or $(SHIFT),0)

build: bin/sysotel ## build bin/sysotel

bin/sysotel: $(GO_FILES) dashboards/web/dist/index.html $(shell find agent api instruments -type f -not -name '*.go' -not -path '*/testdata/*')
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./agent

# Without Node this builds nothing, and the page says so.
dashboards/web/dist/index.html: $(WEB_FILES)
	dashboards/web/build.sh

# The same commit gives the same bytes: nothing of this machine is in them.
release: dashboards/web/dist/index.html ## build packages, images and archives into bin/release; TARGETS=linux/amd64 builds one
	rm -rf bin/release
	@$$($(PROGRAMS) release) -out bin/release $(if $(TARGETS),-targets $(TARGETS))

releasecheck: bin/sysotel ## install, upgrade, back up, remove and purge the package in a clean Debian under systemd
	SYSOTEL_TEST_RELEASE=1 go test -count=1 -timeout 60m -run 'TestRelease|TestInstall|TestGoldenManifest' -v ./agent/packaging

test: bin/sysotel ## vet, cross-compile and run every test, against real Prometheus, Collector, …
	@$(PROGRAMS) otelcol prometheus promtool victoria-metrics telegraf oapi-codegen gotestsum >/dev/null
	go vet ./...
	@for target in linux/arm64 darwin/arm64 windows/amd64; do \
		echo "build for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./agent || exit 1; \
	done
	@.ci/summary .ci/events

race: ## run the Go tests with the race detector
	go test -race -timeout 20m ./...

soak: bin/sysotel ## run the soak, accuracy and kill tests for ten minutes each, spoil recorded machines for an hour, and let names come and go for six (CHURN=20m for less)
	@$(PROGRAMS) otelcol prometheus promtool victoria-metrics oapi-codegen ogen >/dev/null
	SYSOTEL_TEST_SOAK=10m go test -count=1 -timeout 90m -run 'Soak|Truth|Kill' -v ./agent/...
	SYSOTEL_TEST_SOAK=1h go test -count=1 -timeout 90m -run Soak -v ./instruments
	SYSOTEL_TEST_SOAK=$(or $(CHURN),6h) go test -count=1 -timeout 8h -run 'TestChurn$$' -v ./agent/app
	SYSOTEL_TEST_SOAK=10m SYSOTEL_TEST_PROXIES=all go test -count=1 -timeout 60m -run TestThroughProxies -v ./dashboards/browser
	@$(MAKE) guest

guest: ## run the agent on Debian's kernels 6.1 and 6.12 in QEMU; ONLY=Disks runs one scenario
	SYSOTEL_TEST_GUEST=all go test -count=1 -timeout 60m -run 'TestGuest$(ONLY)' -v ./agent/guest

fleet: ## push as a thousand hosts to the Collector and a node for five minutes; HOSTS=300 for fewer
	@$(PROGRAMS) otelcol victoria-metrics >/dev/null
	SYSOTEL_TEST_FLEET=$(or $(HOSTS),1000) go test -count=1 -timeout 30m -run 'TestFleet$$' -v ./otel-collector/programs/fleet

attack: bin/sysotel ## attack the agent for ten minutes: every route, caller and form, random expressions, foreign pages
	SYSOTEL_TEST_SOAK=10m go test -p 1 -count=1 -timeout 60m -run 'SoakAttack|SoakExpressions|ForeignPages' -v ./agent/app ./dashboards/browser

bench: bin/sysotel ## measure the CPU, memory and disk use of the agent, the stack and the page
	@$(PROGRAMS) otelcol prometheus victoria-metrics >/dev/null
	go test -run '^$$' -bench . -benchmem ./instruments ./agent/sampler ./agent/export ./api
	SYSOTEL_BENCH=1 go test -count=1 -timeout 60m -p 1 -run Cost -v ./agent/bench ./dashboards/browser

bench-peers: bin/sysotel ## measure the agent beside others of its kind for an hour (PROCESSES=250 for less, PEER=path for another sysotel)
	@$(PROGRAMS) node_exporter prometheus otelcol-host telegraf-host >/dev/null
	SYSOTEL_BENCH=peers SYSOTEL_BENCH_PEER=$(abspath $(PEER)) SYSOTEL_BENCH_PROCESSES="$(PROCESSES)" go test -count=1 -timeout 120m -p 1 -run TestPeers -v ./agent/bench

fuzz: ## fuzz each parser for 30 seconds
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
			go test -run '^$$' -fuzz "^$$t$$" -fuzztime 30s ./$$(dirname $$f) || exit 1; \
		done; \
	done

# Tests that write golden files are named TestGolden...; a test in agent checks that.
# Without Node schema.ts stays as it is, and build.sh says so.
golden: ## regenerate documents, golden files, boards and TypeScript types
	go test -vet=off -run '^TestGolden' $$(grep -rl --include='*_test.go' 'flag.Bool("update"' agent api dashboards instruments otel-collector | xargs -n1 dirname | sort -u | sed 's|^|./|') -update
	go test -vet=off -run '^TestGoldenGuides' ./api -update # Again, from the new METRICS.md.
	dashboards/web/build.sh types

fmt: ## format the code
	$$($(PROGRAMS) golangci-lint) fmt

lint: ## check the code with golangci-lint
	$$($(PROGRAMS) golangci-lint) run

# govulncheck exits with 3 if it finds something and with 1 if it cannot check, for
# instance without a network. Neither is a pass.
vulncheck: ## check dependencies for known vulnerabilities; GOVULNDB sets the database
	@$$($(PROGRAMS) govulncheck) ./...; code=$$?; \
		if [ $$code != 0 ] && [ $$code != 3 ]; then echo "vulncheck: NOTHING WAS CHECKED: the database is unreachable or the code does not compile; see above" >&2; fi; \
		exit $$code

cover: ## write coverage.out and print the total coverage
	go test -timeout 20m -coverprofile coverage.out ./...
	go tool cover -func coverage.out | tail -1

.PHONY: help run stack build release releasecheck test race soak guest fleet attack bench bench-peers fuzz golden fmt lint vulncheck cover
