import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { FailpointName } from '../../src/platform/failpoints.ts';
import { waitFor } from '../support/wait-for.ts';
import type { History } from './history.ts';
import { isLong } from './length.ts';
import { Trial } from './trial.ts';

const minutes = isLong ? 10 : 2;
/** The shortest there are: whatever is not referenced leaves a few seconds later. */
const eager = { 'blob-grace': '1s', 'gc-interval': '1s' };
/** Of requests with and without, half of the time each; what grows meanwhile meets both alike. */
const turns = isLong ? (['without', 'with', 'with', 'without'] as const) : (['without', 'with'] as const);
const turnMs = isLong ? (minutes * 60_000) / 2 : 3_000;
/** Clients leave an upload open now and then, which are past the usual limit after a quarter of an hour. */
const manyUploads = { 'upload-limit': '1000000' };
const size = { pushers: 10, pullers: 10, deleters: 2 };
const freedSchema = z.looseObject({ blobs: z.number() });
/** From the end of a grace to the collection, see `settleMicros`, with a margin for slow machines. */
const collectedMs = 90_000;

test(`F-26, DL-01: garbage is collected under load for ${minutes} minutes, and no client notices`, async (t) => {
  await using trial = new Trial({ settings: { ...eager, ...manyUploads } });
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
  await using trial = new Trial({ settings: manyUploads });
  const took = { without: [] as Took[], with: [] as Took[] };
  let freed = 0;
  for (const mode of turns) {
    const seen = trial.history.entries().length;
    const server = await trial.start({ settings: mode === 'with' ? eager : { 'gc-interval': '1h' } });
    await trial.loadDuring(async () => {
      await sleep(turnMs);
    }, size);
    await trial.stop();
    if (mode === 'with') freed += freedIn(server.log());
    const entries = trial.history.entries().slice(seen);
    for (const entry of entries)
      if (entry.kind !== 'violation') took[mode].push({ kind: entry.kind, ms: entry.endMs - entry.startMs });
  }
  for (const kind of ['all', ...new Set(took.with.map((each) => each.kind))])
    t.diagnostic(comparison(kind, took.without, took.with));
  t.diagnostic(`${freed} blobs were freed meanwhile`);
  assert.deepEqual(failuresIn(trial.history), []);
  // In a few seconds beside other tests that is chance, and nothing may be due.
  if (!isLong) return;
  assert(freed > 0, 'no blob was freed meanwhile');
  const [without, during] = [p99Of(took.without), p99Of(took.with)];
  assert(during <= 1.5 * without, `${during} ms, ${without} ms without`);
  await trial.start({ settings: eager });
  await trial.verify({ mayCollect: true });
  await trial.verifyClean();
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

type Took = { readonly kind: string; readonly ms: number };

/** Of requests of one kind, or of `all`. */
function comparison(kind: string, without: readonly Took[], during: readonly Took[]): string {
  const some = (all: readonly Took[]) => all.filter((each) => kind === 'all' || each.kind === kind);
  const [before, beside] = [p99Of(some(without)), p99Of(some(during))];
  const counts = `${some(without).length} and ${some(during).length} requests`;
  const ratio = (beside / before).toFixed(2);
  return `${kind}: p99 ${before.toFixed(1)} ms without, ${beside.toFixed(1)} ms with: ${ratio} times; ${counts}`;
}

function p99Of(all: readonly Took[]): number {
  const sorted = all.map(({ ms }) => ms).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN;
}

/** Blobs that garbage collection freed, by the log of a server. */
function freedIn(log: string): number {
  const lines = log.split('\n').filter((line) => line.includes('unreferenced blobs freed'));
  return lines.reduce((sum, line) => sum + freedSchema.parse(JSON.parse(line)).blobs, 0);
}
