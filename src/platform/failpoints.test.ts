import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { createFailpoints, FailpointError } from './failpoints.ts';
import { HeldClock } from './held-clock.ts';

const clock = new HeldClock();

test('an unarmed failpoint does nothing', async () => {
  await createFailpoints(undefined, clock)('blob.create.after');
  await createFailpoints('blob.fsync.before:error', clock)('blob.create.after');
});

test('error throws at every hit, or with @N at the N-th alone', async () => {
  const always = createFailpoints('blob.create.after:error', clock);
  await assert.rejects(always('blob.create.after'), FailpointError);
  await assert.rejects(always('blob.create.after'), FailpointError);
  const second = createFailpoints('response.before:sleep(1),blob.create.after:error@2', clock);
  await second('blob.create.after');
  await assert.rejects(second('blob.create.after'), FailpointError);
  await second('blob.create.after');
});

test('sleep waits for the given milliseconds', async () => {
  const held = new HeldClock();
  let isOver = false;
  const point = createFailpoints(
    'response.before:sleep(50)',
    held,
  )('response.before').then(() => {
    isOver = true;
  });
  held.advance(49);
  await Promise.resolve();
  assert.equal(isOver, false);
  held.advance(1);
  await point;
});

test('abort ends the process by SIGKILL', () => {
  const script = `
    import { createFailpoints } from ${JSON.stringify(import.meta.resolve('./failpoints.ts'))};
    import { systemClock } from ${JSON.stringify(import.meta.resolve('./system-clock.ts'))};
    await createFailpoints('response.before:abort', systemClock)('response.before');
    console.log('alive');`;
  const { signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  assert.deepEqual({ signal, stdout }, { signal: 'SIGKILL', stdout: '' });
});

for (const spec of [
  'nonsense',
  'blob.create:error',
  'blob.create.after',
  'blob.create.after:explode',
  'blob.create.after:sleep',
  'blob.create.after:error@x',
]) {
  test(`"${spec}" is refused with the names that are known`, () => {
    assert.throws(
      () => createFailpoints(spec, clock),
      /unknown (failpoint|action) in .*; known: (blob\.create\.after|abort)/,
    );
  });
}
