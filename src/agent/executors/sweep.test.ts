import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { disown, ownerFile, ownMark, sweepLeftovers } from './sweep.ts';

const folder = temporaryFolder('sweep');
after(() => folder.remove());
const minute = 60_000;

const noneStuck = () => assert.fail('something cannot be removed');

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
  await sweepLeftovers(folder.path, nowMs, noneStuck);
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
  await sweepLeftovers(folder.path, Date.now(), noneStuck);
  assert.equal(existsSync(run), true);
  await sweepLeftovers(folder.path, Date.now() + minute, noneStuck);
  assert.equal(existsSync(run), false);
});
test('a leftover that cannot be removed keeps nobody from saying that it lives, and is told', async () => {
  const nowMs = Date.now();
  const mark = (await ownMark()) ?? '';
  const busy = join(runOf('a-stuck-one', mark.replace(/^(\d+) \d+/, '$1 1'), nowMs), 'mounted');
  mkdirSync(busy);
  const own = runOf('z-of-ours', mark, nowMs - 60 * minute);
  execFileSync('mount', ['-t', 'tmpfs', 'none', busy]);
  const stuck: string[] = [];
  try {
    await sweepLeftovers(folder.path, nowMs, (leftover) => stuck.push(leftover));
  } finally {
    execFileSync('umount', [busy]);
  }
  assert.deepEqual(stuck, [join(folder.path, 'a-stuck-one')]);
  assert.ok(statSync(join(own, ownerFile)).mtimeMs > nowMs - minute);
});
