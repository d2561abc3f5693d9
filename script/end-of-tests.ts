import { after } from 'node:test';
import { isMainThread } from 'node:worker_threads';

/** For what a file ends after its tests, and for what it left open: so long after them the process ends. */
const graceMs = 20_000;

// In place of --test-force-exit, which ends a file before the runner has read all that it reports. Threads are given it too.
if (isMainThread)
  after(() => {
    setTimeout(() => process.exit(), graceMs).unref();
  });
