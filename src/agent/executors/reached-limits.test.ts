import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchLimits } from './reached-limits.ts';

const limits = { cpus: 1, memoryMiB: 256, diskMiB: 512, processes: 64 };
const none = { limits, memory: 0, processes: 0 };

/** Counts before, counts after, what was printed between. */
const explained = async (before: typeof none, after: typeof none, ...printed: readonly string[]) => {
  let now = before;
  const watch = await watchLimits({ refusals: async () => now });
  now = after;
  for (const text of printed) watch.see(Buffer.from(text));
  return await watch.explain();
};

test('a limit that was met is named with its size', async () => {
  assert.match(await explained(none, { ...none, memory: 1 }), /memory .*\(256 MiB\)/);
  assert.match(await explained(none, { ...none, processes: 40 }), /processes .*\(64\)/);
  assert.match(await explained(none, none, 'cat: write error: No space left on device\n'), /disk .*\(512 MiB\)/);
  assert.match(await explained(none, none, 'x'.repeat(1000), 'write: no space le', 'ft on device'), /disk/);
});

test('what others met before, or nobody met, explains nothing', async () => {
  const earlier = { ...none, memory: 2, processes: 7 };
  assert.equal(await explained(earlier, earlier, 'exit 1'), '');
  assert.equal(await (await watchLimits({})).explain(), '');
});
