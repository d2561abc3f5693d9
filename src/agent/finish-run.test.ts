import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseLost } from '../client/agent-client.ts';
import { ClientError } from '../client/client-error.ts';
import type { Clock } from '../platform/clock.ts';
import type { RunResult } from '../wire/builds/agent-protocol.ts';
import { finishRun } from './finish-run.ts';

const order = { lease: 'lease', leaseSeconds: 30 };
const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };

const answer = (status: number) =>
  new ClientError({
    ...{ request: 'POST finish', status, code: 'CODE', message: 'no', remedy: '', correlationId: undefined },
  });

/** What the server was told, when it answers with these faults first. */
async function told(result: RunResult, ...faults: readonly Error[]): Promise<RunResult[]> {
  let nowMs = 0;
  const clock: Clock = {
    nowMicros: () => nowMs * 1000,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
  const results: RunResult[] = [];
  const finish = async (_lease: string, each: RunResult) => {
    results.push(each);
    const fault = faults[results.length - 1];
    if (fault !== undefined) throw fault;
  };
  await finishRun({ client: { finish }, clock }, order, result);
  return results;
}

test('a server that restarts is told when it is back', async () => {
  assert.deepEqual(await told(done, new Error('no connection'), answer(500), answer(503)), [done, done, done, done]);
});

test('a result that is refused for good is told as an error with the reason, and the run is not done again', async () => {
  const [first, second, ...others] = await told(done, answer(413));
  assert.deepEqual([first, others], [done, []]);
  assert.equal(second?.status, 'Error');
  assert.match(second?.message ?? '', /the server refused what the run had to report: POST finish: no \(413 CODE\)/);
});

test('a lease that is lost, or a server that stays away, is told to nobody', async () => {
  await assert.rejects(told(done, new LeaseLost('gone')), LeaseLost);
  await assert.rejects(told(done, ...Array.from({ length: 100 }, () => new Error('no connection'))), /no connection/);
  await assert.rejects(told(done, answer(400), answer(400)), ClientError);
});
