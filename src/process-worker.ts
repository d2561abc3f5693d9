import cluster from 'node:cluster';
import type { JournalWakes } from './platform/journal/journal-wakes.ts';
import { primaryMessageSchema, type WorkerMessage, type WorkerMetrics } from './process-messages.ts';

/** `alone` does everything; a `primary` process keeps the data folder and starts workers; a `worker` answers requests. */
export type ProcessRole = 'alone' | 'primary' | 'worker';

/** What this process is when so many workers are wanted. */
export function processRole(workers: number): ProcessRole {
  if (cluster.isWorker) return 'worker';
  return workers > 1 ? 'primary' : 'alone';
}

/** A worker's side of its connection to the primary process, through which workers hear of each other. */
export class WorkerLink {
  readonly #questions = new Map<number, (all: readonly WorkerMetrics[]) => void>();
  #questionsMade = 0;
  #wake: (streams: readonly string[]) => void = () => {};
  #ownMetrics: () => Promise<WorkerMetrics> = async () => [];

  constructor() {
    process.on('message', (message) => {
      const heard = primaryMessageSchema.parse(message);
      if (heard.kind === 'wake') this.#wake(heard.streams);
      else if (heard.kind === 'metricsWanted') void this.#tellMetrics(heard.gathering);
      else {
        this.#questions.get(heard.question)?.(heard.all);
        this.#questions.delete(heard.question);
      }
    });
  }

  tellReady(): void {
    send({ kind: 'ready' });
  }

  /** New events of one worker are known to the others at once. */
  get wakes(): JournalWakes {
    return {
      send: (streams) => send({ kind: 'wake', streams: [...streams] }),
      onWake: (wake) => {
        this.#wake = wake;
      },
      close: async () => {},
    };
  }

  /** Sets what this worker answers when another gathers the metrics of all. */
  shareMetrics(own: () => Promise<WorkerMetrics>): void {
    this.#ownMetrics = own;
  }

  /** The metrics of every worker that answers in time. */
  allMetrics(): Promise<readonly WorkerMetrics[]> {
    this.#questionsMade += 1;
    const question = this.#questionsMade;
    return new Promise((resolve) => {
      this.#questions.set(question, resolve);
      send({ kind: 'metricsWanted', question });
    });
  }

  /** Lets the process end; the primary process has nothing more to tell it. */
  close(): void {
    cluster.worker?.disconnect();
  }

  async #tellMetrics(gathering: number): Promise<void> {
    send({ kind: 'metrics', gathering, metrics: await this.#ownMetrics() });
  }
}

/** A worker whose primary process is gone ends by itself. */
function send(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}
