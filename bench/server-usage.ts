import { readdirSync, readFileSync } from 'node:fs';

/** What the processes of a server used during one run. */
export type Usage = {
  readonly cpuSeconds: number;
  /** Sum over all processes, highest of the samples, in bytes. */
  readonly peakRssBytes: number;
  /** Of the one process that held most, in bytes. */
  readonly peakProcessRssBytes: number;
  /** Peak minus the value at the start of the run, in bytes. */
  readonly rssGrowthBytes: number;
};

const sampleMs = 50;
/** Linux: clock ticks of /proc/<pid>/stat per second, and bytes of a page; the same on every 64-bit x86 and Arm kernel we run on. */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** Watches a process and its children through /proc: CPU time between start and stop, memory every 50 ms. */
export class UsageWatch {
  readonly #pids: readonly number[];
  readonly #cpuAtStart: number;
  readonly #rssAtStart: number;
  readonly #timer: NodeJS.Timeout;
  #peakRss: number;
  #peakProcessRss = 0;

  constructor(pid: number, { hasChildren = true }: { readonly hasChildren?: boolean } = {}) {
    this.#pids = hasChildren ? withChildren(pid) : [pid];
    this.#cpuAtStart = cpuSecondsOf(this.#pids);
    this.#rssAtStart = sum(rssBytesOf(this.#pids));
    this.#peakRss = this.#rssAtStart;
    this.#timer = setInterval(() => this.#sample(), sampleMs);
  }

  stop(): Usage {
    clearInterval(this.#timer);
    this.#sample();
    return {
      cpuSeconds: cpuSecondsOf(this.#pids) - this.#cpuAtStart,
      peakRssBytes: this.#peakRss,
      peakProcessRssBytes: this.#peakProcessRss,
      rssGrowthBytes: this.#peakRss - this.#rssAtStart,
    };
  }

  #sample(): void {
    const ofEach = rssBytesOf(this.#pids);
    this.#peakRss = Math.max(this.#peakRss, sum(ofEach));
    this.#peakProcessRss = Math.max(this.#peakProcessRss, ...ofEach);
  }
}

/** CPU time of one process since it began. */
export function cpuSecondsSoFar(pid: number): number {
  return cpuSecondsOf([pid]);
}

function withChildren(pid: number): number[] {
  const children = threadsOf(pid).flatMap((thread) => numbersIn(`/proc/${pid}/task/${thread}/children`));
  return [pid, ...children.flatMap(withChildren)];
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // The process has ended: it has no threads.
  }
}

function cpuSecondsOf(pids: readonly number[]): number {
  // Fields 14 and 15 of proc(5) `stat`, counted after the name in parentheses, which may hold spaces.
  const ticks = pids.map((pid) => {
    const fields = textOf(`/proc/${pid}/stat`).split(') ')[1]?.split(' ') ?? [];
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  });
  return sum(ticks) / ticksPerSecond;
}

function rssBytesOf(pids: readonly number[]): number[] {
  return pids.map((pid) => (numbersIn(`/proc/${pid}/statm`)[1] ?? 0) * pageBytes);
}

function numbersIn(path: string): number[] {
  return textOf(path).trim().split(/\s+/).filter(Boolean).map(Number);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // The process has ended: it uses nothing.
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
