import type { RequestListener } from 'node:http';
import { totalmem } from 'node:os';
import { refuseRest } from './api/middleware/refuse-rest.ts';
import { errorCatalogue } from './core/errors.ts';
import { blobContainer } from './features/builds/blob-addresses.ts';
import type { Clock } from './platform/clock.ts';
import type { Settings } from './settings.ts';

/** Of its limit: above this part a process takes new requests only one after the other. */
const shortPart = 0.8;
/** Requests that are worked on however short memory is, so that a process that gives nothing back still gets on. */
const alwaysAtOnce = 8;
const sampleMs = 100;
const retryAfterSeconds = 5;
/** What the process that starts workers holds itself. */
const primaryBytes = 80 * 1024 * 1024;
/** Asked by those who watch the server. */
const ownPaths = new Set(['/healthz', '/readyz', '/metrics']);
/** Followers of events and of logs, and agents that ask for work: they wait for seconds, minutes or hours. */
const waitingPaths = new Set(['/events', '/agent/v1/lease']);
const logsStart = `/${blobContainer}/logs/`;

export type MemoryGuard = {
  /** Whether the process is close to its limit. */
  readonly isShort: () => boolean;
};

/**
 * What one process of a server may hold, in bytes: its part of what the setting says, else of what the system grants the container or
 * unit it runs in. Undefined where nothing limits it but the machine.
 */
export function memoryLimitOf({
  memoryLimit,
  workers,
}: {
  readonly memoryLimit: number | undefined;
  readonly workers: number;
}): number | undefined {
  const constrained = process.constrainedMemory();
  const granted = constrained > 0 && constrained < totalmem() ? constrained : undefined;
  const all = memoryLimit ?? granted;
  if (all === undefined || workers === 1) return all;
  return Math.max(0, all - primaryBytes) / workers;
}

/** What one process keeps of blobs that are pulled again and again, in bytes. */
export function hotBytesOf(settings: Pick<Settings, 'memoryLimit' | 'workers' | 'blobMemory'>): number {
  return Math.min(settings.blobMemory, (memoryLimitOf(settings) ?? Number.POSITIVE_INFINITY) / 8);
}

/** `residentBytes` is looked at now and then, when somebody asks. */
export function memoryGuard(
  limitBytes: number | undefined,
  clock: Clock,
  residentBytes: () => number = () => process.memoryUsage.rss(),
): MemoryGuard {
  let isShort = false;
  let nextMs = 0;
  return {
    isShort: () => {
      const nowMs = clock.monotonicMs();
      if (limitBytes === undefined || nowMs < nextMs) return isShort;
      nextMs = nowMs + sampleMs;
      isShort = residentBytes() > limitBytes * shortPart;
      return isShort;
    },
  };
}

/**
 * Refuses requests with 503 while memory is short and others, let in since it is, are worked on: clients come again, and another server
 * may have room; a server that the system ends for its memory would break all of them. What was open before does not count: it may
 * stay for hours. Those who only wait count by themselves, for the same reason.
 */
export function sheddingLoad(answer: RequestListener, guard: MemoryGuard, clock: Clock): RequestListener {
  const atOnce = new Map<string, number>();
  const add = (kind: string, by: 1 | -1) => atOnce.set(kind, (atOnce.get(kind) ?? 0) + by);
  return (incoming, outgoing) => {
    const path = incoming.url?.split('?', 1)[0] ?? '';
    if (ownPaths.has(path) || !guard.isShort()) {
      answer(incoming, outgoing);
      return;
    }
    const kind = kindOf(incoming.method, path);
    if ((atOnce.get(kind) ?? 0) >= alwaysAtOnce) {
      void refuse(incoming, outgoing, clock);
      return;
    }
    add(kind, 1);
    outgoing.once('close', () => add(kind, -1));
    answer(incoming, outgoing);
  };
}

/** What a request counts with. */
function kindOf(method: string | undefined, path: string): string {
  if (method === 'HEAD' && path.startsWith(logsStart)) return logsStart;
  return waitingPaths.has(path) ? path : 'work';
}

async function refuse(...[incoming, outgoing, clock]: [...Parameters<RequestListener>, Clock]): Promise<void> {
  const { status, code, message } = errorCatalogue.memoryShort;
  const body = JSON.stringify({ errors: [{ code, message }] });
  await refuseRest(incoming, outgoing, clock);
  outgoing.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'Retry-After': retryAfterSeconds,
    'Docker-Distribution-API-Version': 'registry/2.0',
  });
  outgoing.end(body);
}
