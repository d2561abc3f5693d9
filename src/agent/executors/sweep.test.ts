import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { disown, ownerFile, ownMark, sweepLeftovers } from './sweep.ts';

const folder = temporaryFolder('sweep');
after(() => folder.remove());
const minute = 60_000;

function runOf(name: string, mark: string, atMs: number): string {
  const run = join(folder.path, name);
  mkdirSync(run);
  const file = join(run, ownerFile);
  writeFileSync(file, mark);
  for (const path of [file, run]) utimesSync(path, atMs / 1000, atMs / 1000);
  return run;
}

test('runs of living agents stay, in other containers too, and those of agents that are gone leave', async () => {
  const nowMs = Date.now();
  const own = (await ownMark()) ?? '';
  const elsewhere = own.replace(/pid:.*/, 'pid:[1]');
  const stay = [
    runOf('ours', own, nowMs - 60 * minute),
    runOf('of-another-container', elsewhere, nowMs - 2 * minute),
    runOf('being-made', '', nowMs - 1_000),
  ];
  const leave = [
    runOf('of-a-container-that-is-gone', elsewhere, nowMs - 6 * minute),
    runOf('of-a-process-that-is-gone', own.replace(/^(\d+) \d+/, '$1 1'), nowMs),
    runOf('never-made', '', nowMs - minute),
  ];
  await sweepLeftovers(folder.path, nowMs);
  assert.deepEqual(
    stay.map((run) => existsSync(run)),
    [true, true, true],
  );
  assert.deepEqual(
    leave.map((run) => existsSync(run)),
    [false, false, false],
  );
  // Agents of other containers see that ours lives.
  assert.ok(statSync(join(folder.path, 'ours', ownerFile)).mtimeMs > nowMs - minute);
});
test('a folder that is given to the sweeps leaves when nobody can be making it', async () => {
  const run = runOf('given', readFileSync(join(folder.path, 'ours', ownerFile), 'utf8'), Date.now());
  await disown(run);
  await sweepLeftovers(folder.path, Date.now());
  assert.equal(existsSync(run), true);
  await sweepLeftovers(folder.path, Date.now() + minute);
  assert.equal(existsSync(run), false);
});
