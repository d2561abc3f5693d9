import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { hasLeftovers } from './agent/executors/sweep.ts';
import type { Clock } from './platform/clock.ts';
import type { Log } from './platform/log.ts';
import { restUntil } from './platform/rest-until.ts';

export type BuiltInAgentParts = {
  readonly clock: Clock;
  readonly log: Log;
  /** Whether a run waits that this agent could take. */
  readonly isNeeded: () => Promise<boolean>;
  /** Of its runs, and those of other agents of this machine: what one that was killed left in it, the next removes. */
  readonly folder: string;
  /** Calls when one may have begun to wait; returns how to stop. */
  readonly onQueued: (wake: () => void) => () => void;
  /** Program and arguments of the agent. */
  readonly words: readonly [string, ...string[]];
  /** All that it sees of the environment; its token is in it. */
  readonly env: Readonly<Record<string, string>>;
};

const lookEveryMs = 2_000;
/** What is appended in a busy time is a reason to look once in so long: most of it is no run. */
const gatherMs = 100;
/** One that ends again and again within seconds waits longer each time. */
const firstWaitMs = 5_000;
const longestWaitMs = 600_000;
/** One that lived so long has begun: it may have met a build that ends it. */
const beginMs = 10_000;
const stopGraceMs = 15_000;

/**
 * The build agent of a server: a process of its own, started when the first run waits or something is left of one, so that a
 * server that builds nothing pays nothing for it, and started again when it ends. It ends with the server, also with one that is
 * killed: the kernel tells it. It is never waited for. Disposing stops it.
 */
export function startBuiltInAgent(parts: BuiltInAgentParts): AsyncDisposable {
  const stopping = new AbortController();
  const running = supervise(parts, stopping.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

async function supervise(parts: BuiltInAgentParts, signal: AbortSignal): Promise<void> {
  const { clock, log } = parts;
  let quickEnds = 0;
  while (await untilNeeded(parts, signal)) {
    log.info('build agent starts', { program: parts.words[0] });
    const beganMs = clock.monotonicMs();
    const { code, error } = await runAgent(parts, signal);
    if (signal.aborted) return;
    quickEnds = clock.monotonicMs() - beganMs < beginMs ? quickEnds + 1 : 0;
    const waitMs = restartWaitMs(quickEnds);
    log.warn('the build agent ended: what it printed says why', {
      code,
      startsAgainInMs: waitMs,
      ...(error === undefined ? {} : { error }),
    });
    await restUntil(clock, clock.monotonicMs() + waitMs, signal);
  }
}

/** Milliseconds before one is started again that has ended so often in a row within seconds of its start: runs wait for it. */
export function restartWaitMs(quickEnds: number): number {
  return quickEnds < 2 ? 0 : Math.min(longestWaitMs, firstWaitMs * 2 ** (quickEnds - 2));
}

/** False when the server stops first. */
async function untilNeeded(
  { clock, log, isNeeded, folder, onQueued }: BuiltInAgentParts,
  signal: AbortSignal,
): Promise<boolean> {
  let told = '';
  // The first agent makes it.
  const isLeftBehind = async () => existsSync(folder) && (await hasLeftovers(folder, clock.nowMicros() / 1000));
  const look = async () => {
    try {
      const isThere = (await isNeeded()) || (await isLeftBehind());
      told = '';
      return isThere;
    } catch (error) {
      // Once while the reason stays the same.
      if (!signal.aborted && told !== String(error)) log.warn('it is not known whether an agent is needed', { error });
      told = String(error);
      return false;
    }
  };
  while (!signal.aborted) {
    const beganMs = clock.monotonicMs();
    const woken = new AbortController();
    const stopListening = onQueued(() => woken.abort());
    try {
      if (await look()) return true;
      await restUntil(clock, clock.monotonicMs() + lookEveryMs, AbortSignal.any([signal, woken.signal]));
    } finally {
      stopListening();
    }
    await restUntil(clock, beganMs + gatherMs, signal);
  }
  return false;
}

type Ended = { readonly code: number | undefined; readonly error?: unknown };

async function runAgent({ clock, words, env }: BuiltInAgentParts, signal: AbortSignal): Promise<Ended> {
  // The kernel ends it when this process is gone: nothing of a build outlives its server.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...words], {
    env: { ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('error', (error) => resolve({ code: undefined, error }));
    child.once('exit', (code) => resolve({ code: code ?? undefined }));
  });
  const stop = () => void end(child, clock, ended);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await ended;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function end(child: ChildProcess, clock: Clock, ended: Promise<Ended>): Promise<void> {
  child.kill('SIGTERM');
  const done = new AbortController();
  void ended.then(() => done.abort());
  await clock.sleep(stopGraceMs, done.signal).then(
    () => child.kill('SIGKILL'),
    () => {
      // It ended in time.
    },
  );
}
