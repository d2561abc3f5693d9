import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../../platform/clock.ts';

const maxDrainBytes = 64 * 1024;
const maxDrainMs = 500;

/**
 * Deals with a body that an answer came before: reads at most 64 KiB of it, so that a small request keeps its connection and
 * the client reads the answer; after that the connection ends with the answer. To be awaited before the answer is sent.
 */
export async function refuseRest(incoming: IncomingMessage, outgoing: ServerResponse, clock: Clock): Promise<void> {
  if (incoming.complete || outgoing.headersSent || !hasBody(incoming)) return;
  // A client that waits for 100 Continue has sent nothing yet, and may not.
  if (incoming.headers.expect === undefined && !incoming.destroyed) await drain(incoming, clock);
  if (!incoming.complete) outgoing.setHeader('Connection', 'close');
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

async function drain(incoming: IncomingMessage, clock: Clock): Promise<void> {
  const done = new AbortController();
  const stop = () => done.abort();
  let drained = 0;
  const count = (chunk: Uint8Array) => {
    drained += chunk.length;
    if (drained > maxDrainBytes) stop();
  };
  const ends = ['end', 'error', 'close'] as const;
  incoming.on('data', count);
  for (const event of ends) incoming.once(event, stop);
  await clock.sleep(maxDrainMs, done.signal).catch(() => {
    // Ended, or read enough, before the time was over.
  });
  incoming.off('data', count).pause();
  for (const event of ends) incoming.off(event, stop);
}
