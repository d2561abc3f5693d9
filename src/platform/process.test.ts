import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkRuntime, UnsafeRuntime } from './process.ts';

test('the runtime of this test is good enough to start', () => checkRuntime(process.versions));

for (const [node, sqlite, isSafe] of [
  ['26.10.0', '3.51.3', true],
  ['26.11.0', '3.53.0', true],
  ['27.0.0', '4.0.0', true],
  ['26.9.9', '3.51.3', false],
  ['20.19.0', '3.51.3', false],
  ['26.10.0', '3.51.2', false],
  ['26.10.0', undefined, false],
  ['26.10.0', 'nonsense', false],
] as const) {
  test(`Node ${node} with SQLite ${sqlite} is ${isSafe ? 'accepted' : 'refused'}`, () => {
    const check = () => checkRuntime(sqlite === undefined ? { node } : { node, sqlite });
    if (isSafe) check();
    else assert.throws(check, UnsafeRuntime);
  });
}

function runGuarded(body: string, prefix: string[] = []) {
  const script = `
    import { writeFileSync } from 'node:fs';
    import { createLineSink } from ${JSON.stringify(import.meta.resolve('./line-sink.ts'))};
    import { createLog } from ${JSON.stringify(import.meta.resolve('./log.ts'))};
    import { guardProcess } from ${JSON.stringify(import.meta.resolve('./process.ts'))};
    guardProcess(createLog({ sink: createLineSink(process.stdout), format: 'json', level: 'info' }));
    ${body}`;
  const [command = '', ...args] = [...prefix, process.execPath, '--input-type=module', '--eval', script];
  return spawnSync(command, args, { encoding: 'utf8' });
}

test('a rejection that nobody handles is logged and the process goes on', () => {
  const { stdout, status } = runGuarded(
    `Promise.reject(new Error('lost')); setTimeout(() => console.log('alive'), 20);`,
  );
  assert.match(stdout, /unhandled rejection.*\n.*alive/);
  assert.equal(status, 0);
});

test('an exception that nobody catches is logged and ends the process', () => {
  const { stdout, status } = runGuarded(
    `setTimeout(() => { throw new Error('broken'); }, 1); setTimeout(() => console.log('alive'), 50);`,
  );
  assert.match(stdout, /uncaught exception/);
  assert.doesNotMatch(stdout, /alive/);
  assert.equal(status, 1);
});

test('F-07: a file over the size limit of the process is an error, not its end', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-process-'));
  const body = `try { writeFileSync(${JSON.stringify(join(folder, 'large'))}, Buffer.alloc(100_000)); } catch (error) { console.log(error.code); }`;
  const { stdout } = runGuarded(body, ['prlimit', '--fsize=50000']);
  assert.equal(stdout, 'EFBIG\n');
  rmSync(folder, { recursive: true });
});

test('F-32: a reader of standard output or error that is gone does not end the process', () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-process-'));
  const done = join(folder, 'done');
  const body = `
    for (const stream of [process.stdout, process.stderr]) stream.write('line\\n');
    setTimeout(() => writeFileSync(${JSON.stringify(done)}, 'alive'), 50);`;
  const closed = ['bash', '-c', 'exec "$@" > >(true) 2> >(true)', 'bash'];
  runGuarded(`setTimeout(() => { ${body} }, 100);`, closed);
  assert.equal(readFileSync(done, 'utf8'), 'alive');
  rmSync(folder, { recursive: true });
});
