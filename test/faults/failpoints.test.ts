import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { type FailpointName, failpointNames } from '../../src/platform/failpoints.ts';
import { waitFor } from '../support/wait-for.ts';
import { letTimePass } from './leftovers.ts';
import { count, isLong } from './length.ts';
import { Trial } from './trial.ts';

const passes = count(1, 20);
const dyingMs = 15_000;

/** Background work, which runs by itself once its time has come. */
const upkeepPoints: readonly FailpointName[] = ['expiry.abort.after', 'sweep.remove.before'];

test(`F-02: a kill at each named step, ${passes} times, loses nothing that was acknowledged`, async (t) => {
  await using trial = new Trial();
  await trial.start();
  await trial.stop();
  for (let pass = 1; pass <= passes; pass += 1) {
    for (const name of failpointNames) await killAt(trial, name);
    await trial.start();
    const verdict = await trial.verify();
    if (isLong) t.diagnostic(`pass ${pass}: ${JSON.stringify(verdict)}`);
    await trial.stop();
  }
  await trial.start();
  await trial.verifyClean();
});

/** Proves that the point is in the program: the server dies of it. */
async function killAt(trial: Trial, name: FailpointName): Promise<void> {
  const isUpkeep = upkeepPoints.includes(name);
  if (isUpkeep) letTimePass(trial.dataFolder);
  const hit = isUpkeep ? 1 : randomInt(1, 20);
  // Short, so that what earlier kills left behind is old enough to be swept; long enough for the pushes of this load.
  const settings = isUpkeep ? { settings: { 'blob-grace': '4s' } } : {};
  await trial.start({ env: { FAILPOINT: `${name}:abort@${hit}` }, ...settings });
  await trial.loadDuring(async (server) => {
    await waitFor(`the server dies at ${name}`, dyingMs, () => !server.running);
    assert.equal(await server.exited, 137);
  });
}
