import type { Reporter, TestCase, TestModule } from 'vitest/node'

// Reports to standard output as `go test -json` does, so that `make test` ends
// with one summary of all tests. The whole app is one package.
const actions = { passed: 'pass', failed: 'fail', skipped: 'skip', pending: 'fail' } as const

type Failure = { message: string, stack?: string }

function print(Action: string, more: { Test?: string, Output?: string, Elapsed?: number } = {}) {
  process.stdout.write(`${JSON.stringify({ Time: new Date(), Action, Package: 'sysotel/dashboards/web', ...more })}\n`)
}

// text is an error with those lines of its stack that are ours.
function text({ message, stack = '' }: Failure): string {
  const at = stack.split('\n').filter((line) => /^\s+at /.test(line) && !line.includes('node_modules') && !line.includes('<anonymous>'))
  return [message, ...at].join('\n').replace(/^/gm, '    ')
}

function report(name: string, action: string, failures: readonly Failure[], note?: string, Elapsed = 0) {
  // In Go a slash begins the name of a subtest.
  const Test = name.replaceAll('/', '\u2215')
  print('run', { Test })
  for (const f of failures) print('output', { Test, Output: `${text(f)}\n` })
  if (note) print('output', { Test, Output: `    ${note}\n` })
  print(action, { Test, Elapsed })
}

export default class implements Reporter {
  onTestCaseResult(test: TestCase) {
    const result = test.result()
    const note = result.state === 'skipped' ? result.note ?? 'skipped in the source' : undefined
    report(`${test.module.relativeModuleId} > ${test.fullName}`, actions[result.state], result.errors ?? [], note, (test.diagnostic()?.duration ?? 0) / 1000)
  }

  // A file that cannot be loaded has errors and no tests.
  onTestModuleEnd(module: TestModule) {
    if (module.errors().length > 0) report(module.relativeModuleId, 'fail', module.errors())
  }

  onTestRunEnd(_: readonly TestModule[], failures: readonly Failure[], reason: string) {
    if (failures.length > 0) report('outside of tests', 'fail', failures)
    print(reason === 'passed' ? 'pass' : 'fail', { Elapsed: performance.now() / 1000 })
  }
}
