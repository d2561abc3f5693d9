import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type FailpointName, failpointNames } from '../../src/platform/failpoints.ts';
import { waitFor } from '../support/wait-for.ts';
import { hasten, letTimePass } from './leftovers.ts';
import { count, isLong } from './length.ts';
import { Trial } from './trial.ts';

const passes = count(1, 20);
/** A job that an earlier kill caught at work runs again when its lease of a minute has ended. */
const dyingMs = 90_000;

/** Background work: how to have it come by while the server runs, and at which visit to kill. */
const upkeep: Readonly<Partial<Record<FailpointName, { readonly settings: Settings; readonly hit: number }>>> = {
  'expiry.abort.after': { settings: { 'upload-idle-expiry': '4s' }, hit: 3 },
  // With the usual graces: blobs keep the one that they were pushed with, and clients count on them after this server too.
  'sweep.remove.before': { settings: {}, hit: 1 },
};
type Settings = Readonly<Record<string, string>>;

/**
 * Those of garbage collection need shorter graces than this trial's clients count on: collection.test.ts has them. Releases have
 * release.test.ts.
 */
const points = failpointNames.filter((name) => !/^(gc|release)\./.test(name));

test(`F-02: a kill at each named step, ${passes} times, loses nothing that was acknowledged`, async (t) => {
  await using trial = new Trial();
  await trial.start();
  await trial.stop();
  for (let pass = 1; pass <= passes; pass += 1) {
    for (const name of points) await killAt(trial, name);
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
  const { settings, hit } = upkeep[name] ?? { settings: {}, hit: randomInt(1, 20) };
  if (name in upkeep) letTimePass(trial.dataFolder);
  await trial.start({ env: { FAILPOINT: `${name}:abort@${hit}` }, settings });
  if (name === 'sweep.remove.before') addOrphan(trial.dataFolder);
  await trial.loadDuring(async (server) => {
    const hasDied = () => {
      // It came by at the start, and would not come again for an hour.
      if (server.running && name === 'sweep.remove.before') hasten('content.orphans.sweep', trial.dataFolder);
      return !server.running;
    };
    await waitFor(`the server dies at ${name}`, dyingMs, hasDied, 500);
    assert.equal(await server.exited, 137);
  });
}

/** Bytes of a push that was killed a week ago. */
function addOrphan(dataFolder: string): void {
  const path = join(dataFolder, 'blob-store/incoming', randomBytes(16).toString('hex'));
  writeFileSync(path, 'left behind');
  const weekAgo = Date.now() / 1000 - 7 * 86_400;
  utimesSync(path, weekAgo, weekAgo);
}
