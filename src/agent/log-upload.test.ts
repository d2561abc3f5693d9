import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../platform/system-clock.ts';
import { LogUpload } from './log-upload.ts';

test('the last of a log is not gathered: it is sent as soon as there is no more', async () => {
  const sent: string[] = [];
  const upload = new LogUpload({
    client: {
      log: async (_lease, _offset, piece) => {
        sent.push(Buffer.from(piece).toString());
        return { kind: 'kept', state: { isCanceled: false, leaseSeconds: 30 } };
      },
    },
    // Time stands still for who waits.
    clock: { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(3_600_000, signal) },
    order: { lease: 'lease', logOffset: 0 },
    onState: () => undefined,
    onLost: (cause) => assert.fail(String(cause)),
    signal: new AbortController().signal,
  });
  await upload.add(Buffer.from('first\n'));
  await upload.add(Buffer.from('last\n'));
  assert.deepEqual(sent, []);
  await upload.end();
  assert.deepEqual(sent, ['first\nlast\n']);
});
