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
