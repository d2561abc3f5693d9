import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Disk, type FileSystem } from './disk.ts';
import { count, isLong } from './length.ts';
import { Trial } from './trial.ts';

const cycles = count(2, 200);
const fileSystems: readonly FileSystem[] = ['ext4', 'xfs'];

// DL-16: no fsync before the answer, so that a power loss loses what was acknowledged.
for (const fileSystem of fileSystems) {
  test(`F-03: ${cycles} power losses on ${fileSystem} lose nothing that was acknowledged`, async (t) => {
    await using disk = await Disk.create(fileSystem, isLong ? 8_192 : 1_024);
    await using trial = new Trial({ place: disk.path });
    await trial.start();
    for (let cycle = 1; cycle <= cycles; cycle += 1) {
      await trial.loadDuring(async (server) => {
        await sleep(randomInt(200, 2_000));
        await disk.losePower(() => trial.history.faultBegins({ isDoubtful: true }));
        await server.kill();
      });
      await disk.unmount();
      await disk.mount();
      await trial.start();
      if (cycle % 10 === 0 || cycle === cycles) t.diagnostic(`cycle ${cycle}: ${JSON.stringify(await trial.verify())}`);
    }
    t.diagnostic(`ready after ${Math.round(Math.max(...trial.readyMs))} ms at most`);
    await trial.verifyClean();
  });
}
