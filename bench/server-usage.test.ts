import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { UsageWatch } from './server-usage.ts';

test('memory is that of all processes of a server, and of the one that holds most', async () => {
  const script = 'sleep 60 & echo begun; wait';
  const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const { pid } = parent;
  assert.ok(pid !== undefined);
  try {
    await once(parent.stdout, 'data');
    const alone = new UsageWatch(pid, { hasChildren: false }).stop();
    const both = new UsageWatch(pid).stop();
    assert.ok(alone.peakRssBytes > 0);
    assert.equal(alone.peakProcessRssBytes, alone.peakRssBytes);
    assert.ok(both.peakRssBytes > both.peakProcessRssBytes, JSON.stringify(both));
    assert.ok(both.peakProcessRssBytes >= both.peakRssBytes / 2, JSON.stringify(both));
  } finally {
    // With the one that it waits for.
    process.kill(-pid);
  }
});
