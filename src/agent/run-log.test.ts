import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../platform/system-clock.ts';
import { RunLog } from './run-log.ts';

function logOf(maxBytes: number, masked: readonly string[] = []): { log: RunLog; text: () => Promise<string> } {
  const pieces: Uint8Array[] = [];
  const sink = async (bytes: Uint8Array) => {
    pieces.push(bytes);
  };
  const log = new RunLog({ sink, clock: systemClock, maxBytes, masked });
  return {
    log,
    text: async () => {
      await log.flush();
      return Buffer.concat(pieces).toString();
    },
  };
}

test('our own lines are kept beyond the limit, but not without end', async () => {
  const { log, text } = logOf(100);
  const output = log.output();
  await output.add(new TextEncoder().encode('x'.repeat(200)));
  log.say('one of ours');
  assert.match(await text(), /longer than its limit[^\n]*\n\S+ \S+ one of ours/);
  for (let count = 0; count < 300; count += 1) log.say('y'.repeat(10_000));
  assert.ok((await text()).length < 1024 * 1024 + 1000);
});

test('a password that a step signs in with is hidden in what others print that run already', async () => {
  const { log, text } = logOf(10_000, ['of-the-run']);
  const running = log.output();
  const ended = log.output();
  await ended.end();
  await running.add(new TextEncoder().encode('before, pass'));
  log.hide('password-of-a-step');
  await running.add(new TextEncoder().encode('word, password-of-a-step, of-the-run'));
  await running.end();
  assert.equal(await text(), 'before, password, ***, ***');
});
