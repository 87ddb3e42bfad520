#!/bin/sh
# Builds the web app into dist, or says in one line why not: the agent builds
# without it, and its page then says what is missing. "build.sh test" checks and
# tests it, and prints the results as `go test -json` does; without Node that is
# a skipped test, and in CI a failed one. "build.sh types" writes
# src/api/schema.ts from api/openapi.yaml; without Node it stays as it is.
set -eu
cd "$(dirname "$0")"

# enough tells whether a node is new enough for Vite: 20.19 or newer.
enough() {
	node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}

if ! enough; then
	found=$(node --version 2>/dev/null || echo none)
	# npm brings a newer Node where there is an old one with npm.
	if command -v npm >/dev/null && [ -z "${SYSOTEL_NODE_BRIDGED:-}" ] && SYSOTEL_NODE_BRIDGED=1 npm exec --yes --package=node@22 -- node -e 0 >/dev/null 2>&1; then
		SYSOTEL_NODE_BRIDGED=1 exec npm exec --yes --package=node@22 -- sh ./build.sh "$@"
	fi
	needs="it needs Node 20.19 or newer with npm, found $found"
	case "${1:-}" in
	test)
		result=skip
		[ -z "${CI:-}" ] || result=fail
		event() { printf '{"Package":"sysotel/dashboards/web",%s}\n' "$1"; }
		event '"Test":"all","Action":"run"'
		event "\"Test\":\"all\",\"Action\":\"output\",\"Output\":\"    not run: $needs\\n\""
		event "\"Test\":\"all\",\"Action\":\"$result\""
		event "\"Action\":\"$result\""
		[ $result = skip ]
		exit
		;;
	types) echo "web app: src/api/schema.ts NOT WRITTEN, it may be stale: $needs" >&2 ;;
	*) echo "web app: NOT BUILT: $needs" >&2 ;;
	esac
	exit 0
fi

# What is installed is what the lock file says; npm leaves a copy of it.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
	if ! npm ci --no-audit --no-fund --loglevel=error >&2; then
		echo "web app: npm ci failed, see above" >&2
		[ "${1:-}" = types ] || exit 1
		echo "web app: src/api/schema.ts NOT WRITTEN, it may be stale" >&2
		exit 0
	fi
	touch node_modules/.package-lock.json
fi
case "${1:-}" in
test)
	npm exec tsc >&2 || {
		echo "web app: tsc found errors, see above" >&2
		exit 1
	}
	npm exec vitest -- run --reporter=./events.ts
	;;
types) npm run types --silent ;;
*) npm run build --silent ;;
esac
