import type { Clock } from './clock.ts';

/** Every point where a test can make the program die, wait or fail: `FAILPOINT=name:action`. */
export const failpointNames = [
  'blob.create.after',
  'blob.write.middle',
  'blob.fsync.before',
  'blob.fsync.after',
  'blob.rename.after',
  'blob.directory-fsync.after',
  'blob.commit.before',
  'blob.commit.after',
  'upload.offset.before',
  'upload.offset.after',
  'manifest.commit.before',
  'manifest.commit.after',
  'delete.commit.before',
  'delete.commit.after',
  'release.commit.before',
  'release.commit.after',
  'expiry.abort.after',
  'sweep.remove.before',
  'gc.commit.before',
  'gc.commit.after',
  'response.before',
] as const;
export type FailpointName = (typeof failpointNames)[number];

/** Awaited at each point; does nothing unless armed. */
export type Failpoint = (name: FailpointName) => Promise<void>;

const actionPattern = /^(abort|error|sleep\((\d+)\))(?:@(\d+))?$/;

/** What an armed `error` throws. */
export class FailpointError extends Error {}

type Armed = { readonly action: string; readonly sleepMs: number; readonly onHit: number };

/**
 * Reads `name:action[,name:action]`. Actions: `abort` kills this process with SIGKILL, `sleep(ms)` waits, `error` throws
 * FailpointError. An action fires at each hit; with `@N` behind it only at the N-th. Throws when a name or action is unknown.
 */
export function createFailpoints(spec: string | undefined, clock: Clock): Failpoint {
  if (spec === undefined || spec === '') return unarmed;
  const armed = new Map(spec.split(',').map(parsePoint));
  const hits = new Map<FailpointName, number>();
  return async (name) => {
    const point = armed.get(name);
    if (point === undefined) return;
    const hit = (hits.get(name) ?? 0) + 1;
    hits.set(name, hit);
    if (point.onHit === 0 || point.onHit === hit) await fire(name, point, clock);
  };
}

const nothing = Promise.resolve();
function unarmed(): Promise<void> {
  return nothing;
}

async function fire(name: FailpointName, point: Armed, clock: Clock): Promise<void> {
  if (point.action === 'error') throw new FailpointError(`failpoint ${name}`);
  if (point.action === 'abort') process.kill(process.pid, 'SIGKILL');
  await clock.sleep(point.sleepMs);
}

function parsePoint(text: string): [FailpointName, Armed] {
  const colon = text.indexOf(':');
  const name = failpointNames.find((known) => known === text.slice(0, colon));
  if (name === undefined) throw new Error(`unknown failpoint in "${text}"; known: ${failpointNames.join(', ')}`);
  const [, action, sleepMs, onHit] = actionPattern.exec(text.slice(colon + 1)) ?? [];
  if (action === undefined)
    throw new Error(`unknown action in "${text}"; known: abort, error, sleep(ms), each with an optional @N`);
  return [name, { action, sleepMs: Number(sleepMs ?? 0), onHit: Number(onHit ?? 0) }];
}
