import cluster, { type Worker } from 'node:cluster';
import type { Clock } from './platform/clock.ts';
import type { Log } from './platform/log.ts';
import { diskFailedCode, type PrimaryMessage, type WorkerMetrics, workerMessageSchema } from './process-messages.ts';

/** A worker that ended sooner after its start is not replaced at once: what ended it is probably still there. */
const shortLifeMs = 5_000;
const replaceAfterMs = 1_000;
/** A worker that does not tell its metrics in this time is left out. */
const gatherMs = 2_000;

export type WorkersParts = { readonly count: number; readonly clock: Clock; readonly log: Log };

/**
 * Starts the processes that answer requests, and resolves when all of them do. They share the listeners, which the primary
 * process holds; one that dies is replaced; what one tells the others goes through here. Disposing ends them with SIGTERM and
 * waits for them. When the disk fails under the database of one, all processes end, this one with status 1. Throws when one
 * ends before it is ready.
 */
export async function startWorkers(parts: WorkersParts): Promise<AsyncDisposable> {
  const workers = new Workers(parts);
  try {
    await workers.start();
  } catch (error) {
    await workers.stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: () => workers.stop() };
}

type Gathering = { readonly all: WorkerMetrics[]; readonly waitsFor: Set<Worker>; readonly finish: () => void };

class Workers {
  readonly #parts: WorkersParts;
  readonly #running = new Map<Worker, Promise<void>>();
  readonly #gatherings = new Map<number, Gathering>();
  #gatheringsMade = 0;
  readonly #stopping = new AbortController();

  constructor(parts: WorkersParts) {
    this.#parts = parts;
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: this.#parts.count }, () => this.#fork()));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const worker of this.#running.keys()) worker.process.kill('SIGTERM');
    await Promise.all(this.#running.values());
  }

  /** This process holds the data folder until the last worker, and what SQLite remembers in their memory, is gone. */
  async #endAll(): Promise<never> {
    this.#stopping.abort();
    for (const worker of this.#running.keys()) worker.process.kill('SIGKILL');
    await Promise.all(this.#running.values());
    this.#parts.log.error('the database cannot be written to disk; all workers have ended');
    process.exit(1);
  }

  /** Resolves when the worker answers requests; throws when it ends before. */
  async #fork(): Promise<void> {
    const worker = cluster.fork();
    const startedMs = this.#parts.clock.monotonicMs();
    const ready = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const state = { isReady: false };
    this.#running.set(worker, ended.promise);
    worker.on('message', (message: unknown) => {
      const heard = workerMessageSchema.parse(message);
      if (heard.kind === 'wake') this.#tellOthers(worker, heard);
      else if (heard.kind === 'metricsWanted') void this.#gatherFor(worker, heard.question);
      else if (heard.kind === 'metrics') this.#gathered(worker, heard.gathering, heard.metrics);
      else {
        state.isReady = true;
        this.#parts.log.info('a worker answers', { pid: worker.process.pid });
        ready.resolve();
      }
    });
    // What was on its way to a worker that died: without a listener the error would end this process too.
    worker.on('error', (error) => this.#parts.log.warn('a worker did not hear', { error }));
    worker.once('exit', (code, signal) => {
      this.#running.delete(worker);
      for (const gathering of this.#gatherings.keys()) this.#gathered(worker, gathering, undefined);
      ended.resolve();
      if (code === diskFailedCode) void this.#endAll();
      ready.reject(new Error(`a worker ended before it was ready, with ${signal ?? `code ${code}`}`));
      if (state.isReady) void this.#replace({ pid: worker.process.pid, code, signal }, startedMs);
    });
    await ready.promise;
  }

  async #replace(ended: Readonly<Record<string, unknown>>, startedMs: number): Promise<void> {
    const { clock, log } = this.#parts;
    const { signal } = this.#stopping;
    if (signal.aborted) return;
    log.error('a worker ended; another takes its place', ended);
    let isTooSoon = clock.monotonicMs() - startedMs < shortLifeMs;
    while (!signal.aborted) {
      try {
        if (isTooSoon) await clock.sleep(replaceAfterMs, signal);
        await this.#fork();
        return;
      } catch (error) {
        if (!signal.aborted) log.error('a worker did not start', { error });
        isTooSoon = true;
      }
    }
  }

  #tellOthers(from: Worker, message: PrimaryMessage): void {
    for (const worker of this.#running.keys()) if (worker !== from) tell(worker, message);
  }

  /** Asks every worker for its metrics and hands all of them to the one that wants them. */
  async #gatherFor(asker: Worker, question: number): Promise<void> {
    this.#gatheringsMade += 1;
    const gathering = this.#gatheringsMade;
    const { promise, resolve } = Promise.withResolvers<void>();
    const all: WorkerMetrics[] = [];
    this.#gatherings.set(gathering, { all, waitsFor: new Set(this.#running.keys()), finish: resolve });
    for (const worker of this.#running.keys()) tell(worker, { kind: 'metricsWanted', gathering });
    const late = new AbortController();
    this.#parts.clock.sleep(gatherMs, late.signal).then(resolve, () => {
      // All were there in time.
    });
    await promise;
    late.abort();
    this.#gatherings.delete(gathering);
    tell(asker, { kind: 'metrics', question, all });
  }

  #gathered(worker: Worker, gathering: number, metrics: WorkerMetrics | undefined): void {
    const found = this.#gatherings.get(gathering);
    if (found?.waitsFor.delete(worker) !== true) return;
    if (metrics !== undefined) found.all.push(metrics);
    if (found.waitsFor.size === 0) found.finish();
  }
}

/** One that is just ending hears nothing more. */
function tell(worker: Worker, message: PrimaryMessage): void {
  if (worker.isConnected()) worker.send(message, () => {});
}
