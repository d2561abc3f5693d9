import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { waitFor } from '../test/support/wait-for.ts';
import { ownerFile, ownMark } from './agent/executors/sweep.ts';
import { restartWaitMs, startBuiltInAgent } from './built-in-agent.ts';
import type { Clock } from './platform/clock.ts';
import { createLog } from './platform/log.ts';
import { systemClock } from './platform/system-clock.ts';

const folder = temporaryFolder('built-in-agent');
after(() => folder.remove());
const log = createLog({ sink: { write: () => undefined, dropped: () => 0 }, format: 'json', level: 'error' });

/** Starts agents that end at once; how long each lived by the clock, and how long the server waits when it has ended so often. */
async function waitsAfter(lives: readonly number[]): Promise<readonly number[]> {
  const starts = join(folder.path, `starts-${lives.join('-')}`);
  appendFileSync(starts, '');
  const startCount = () => (existsSync(starts) ? readFileSync(starts, 'utf8').length : 0);
  const waits: number[] = [];
  let nowMs = 0;
  const ended: number[] = [];
  const clock: Clock = {
    ...systemClock,
    // Each start has lived its time when it is looked at again.
    monotonicMs: () => {
      const count = startCount();
      for (let at = ended.length; at < count; at += 1) {
        ended.push(lives[at] ?? 0);
        nowMs += lives[at] ?? 0;
      }
      return nowMs;
    },
    sleep: async (ms, signal) => {
      if (ms > 2_000) waits.push(ms);
      await systemClock.sleep(1, signal);
    },
  };
  await using _ = startBuiltInAgent({
    ...{ clock, log },
    isNeeded: async () => startCount() < lives.length,
    folder: join(folder.path, 'none'),
    onQueued: () => () => undefined,
    words: ['sh', '-c', `printf x >> ${starts}`],
    env: { PATH: process.env.PATH ?? '' },
  });
  await waitFor('all have ended', 120_000, () => ended.length === lives.length);
  return waits;
}

test('what a killed agent left of a run is removed though no run waits', async () => {
  const runs = join(folder.path, 'runs');
  const starts = join(folder.path, 'sweeps');
  mkdirSync(runs);
  await using _ = startBuiltInAgent({
    ...{ clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(1, signal) }, log },
    isNeeded: async () => false,
    folder: runs,
    onQueued: () => () => undefined,
    words: ['sh', '-c', `printf x >> ${starts}; rm -r ${runs}/*`],
    env: { PATH: process.env.PATH ?? '' },
  });
  await systemClock.sleep(50);
  assert.equal(existsSync(starts), false);
  const left = join(folder.path, 'left');
  mkdirSync(left);
  writeFileSync(join(left, ownerFile), `${process.pid} 1 ${readlinkSync('/proc/self/ns/pid')}`);
  renameSync(left, join(runs, 'ca1-left'));
  await waitFor('it is gone', 120_000, () => !existsSync(join(runs, 'ca1-left')));
  await systemClock.sleep(50);
  assert.equal(readFileSync(starts, 'utf8'), 'x');
});
test('neither a run of another agent that lives, nor a file, is a reason to start one', async () => {
  const runs = join(folder.path, 'others');
  const starts = join(folder.path, 'needless');
  mkdirSync(join(runs, 'ca1-lives'), { recursive: true });
  writeFileSync(join(runs, 'ca1-lives', ownerFile), (await ownMark()) ?? assert.fail('no mark'));
  writeFileSync(join(runs, '.nfs0001'), '');
  let asked = 0;
  await using _ = startBuiltInAgent({
    ...{ clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(1, signal) }, log },
    isNeeded: async () => {
      asked += 1;
      return false;
    },
    folder: runs,
    onQueued: () => () => undefined,
    words: ['sh', '-c', `printf x >> ${starts}`],
    env: { PATH: process.env.PATH ?? '' },
  });
  await waitFor('it is looked at five times', 120_000, () => asked >= 5 || existsSync(starts));
  assert.equal(existsSync(starts), false);
});
test('a folder that cannot be read is told once, and is looked at as seldom as any', async () => {
  const file = join(folder.path, 'file');
  appendFileSync(file, '');
  const told: string[] = [];
  let [asked, rested] = [0, 0];
  const sleep: Clock['sleep'] = async (ms, signal) => {
    if (ms > 1_000) rested += 1;
    await systemClock.sleep(1, signal);
  };
  await using _ = startBuiltInAgent({
    clock: { ...systemClock, sleep },
    log: createLog({
      sink: { write: (line) => void told.push(line), dropped: () => 0 },
      format: 'json',
      level: 'warn',
    }),
    isNeeded: async () => {
      asked += 1;
      return false;
    },
    folder: file,
    onQueued: () => () => undefined,
    words: ['false'],
    env: {},
  });
  await waitFor('it is looked at five times', 120_000, () => asked >= 5);
  assert(rested >= asked - 1, `${rested} rests, ${asked} looks`);
  assert.equal(told.length, 1);
  assert.match(told.join(), /ENOTDIR/);
});
test('an agent that ended is started again at once, and waits only where it ends again within seconds', async () => {
  assert.deepEqual(await waitsAfter([60_000, 60_000, 60_000]), []);
  assert.deepEqual(await waitsAfter([100, 100, 100, 60_000, 100, 100]), [5_000, 10_000, 5_000]);
});
test('it waits longer each time, and never longer than ten minutes', () => {
  assert.deepEqual([0, 1, 2, 3, 4].map(restartWaitMs), [0, 0, 5_000, 10_000, 20_000]);
  assert.equal(restartWaitMs(60), 600_000);
});
