import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FailpointName } from '../../src/platform/failpoints.ts';
import { waitFor } from '../support/wait-for.ts';
import type { History } from './history.ts';
import { isLong } from './length.ts';
import { Trial } from './trial.ts';

const minutes = isLong ? 10 : 2;
/** The shortest there are: whatever is not referenced leaves a few seconds later. */
const eager = { 'blob-grace': '1s', 'gc-interval': '1s' };
/** Of requests with and without, in turn. */
const turns = isLong ? 4 : 2;
const turnMs = isLong ? 60_000 : 3_000;
const size = { pushers: 10, pullers: 10, deleters: 2 };
/** From the end of a grace to the collection, see `settleMicros`, with a margin for slow machines. */
const collectedMs = 90_000;

test(`F-26, DL-01: garbage is collected under load for ${minutes} minutes, and no client notices`, async (t) => {
  await using trial = new Trial({ settings: eager });
  await trial.start();
  await trial.loadDuring(async () => {
    await sleep(minutes * 60_000);
  }, size);
  assert.deepEqual(failuresIn(trial.history), []);
  const verdict = await trial.verify({ mayCollect: true });
  t.diagnostic(JSON.stringify(verdict));
  await trial.verifyClean();
});

test('F-26: requests take at most 1.5 times as long while garbage is collected all the time', async (t) => {
  await using trial = new Trial();
  const took = { without: [] as number[], with: [] as number[] };
  for (let turn = 0; turn < turns; turn += 1) {
    const mode = turn % 2 === 0 ? 'without' : 'with';
    const seen = trial.history.entries().length;
    await trial.start({ settings: mode === 'with' ? eager : { 'gc-interval': '1h' } });
    await trial.loadDuring(async () => {
      await sleep(turnMs);
    }, size);
    await trial.stop();
    const entries = trial.history.entries().slice(seen);
    for (const entry of entries) if (entry.kind !== 'violation') took[mode].push(entry.endMs - entry.startMs);
  }
  const [without, during] = [p99Of(took.without), p99Of(took.with)];
  t.diagnostic(`p99 ${without.toFixed(1)} ms without, ${during.toFixed(1)} ms with; ${took.with.length} requests`);
  assert.deepEqual(failuresIn(trial.history), []);
  // In a few seconds beside other tests that is chance.
  if (isLong) assert(during <= 1.5 * without, `${during} ms, ${without} ms without`);
});

for (const name of ['gc.commit.before', 'gc.commit.after'] as const satisfies readonly FailpointName[]) {
  test(`a kill at ${name} loses nothing that is referenced, and leaves nothing behind`, async () => {
    await using trial = new Trial({ settings: eager });
    await trial.start({ env: { FAILPOINT: `${name}:abort@2` } });
    await trial.loadDuring(async (server) => {
      await waitFor(`the server dies at ${name}`, collectedMs, () => !server.running);
      assert.equal(await server.exited, 137);
    }, size);
    await trial.start();
    await trial.verify({ mayCollect: true });
    await trial.verifyClean();
  });
}

/** What clients were refused: deletes of what another client deleted are none. */
function failuresIn(history: History): readonly string[] {
  return history.entries().flatMap((entry) => {
    if (entry.kind === 'violation') return [entry.text];
    return entry.outcome === 'ok' ? [] : [`${entry.kind} ${entry.outcome} ${entry.status ?? ''}`];
  });
}

function p99Of(times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}
