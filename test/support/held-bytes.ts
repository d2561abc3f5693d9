import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes of buffers that this process still holds after a full collection. */
export async function heldBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('this Node collects nothing when asked to');
  for (const _ of [1, 2]) {
    collect();
    await sleep(10);
  }
  return process.memoryUsage().arrayBuffers;
}
