import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ImageSource, MiB } from './images.ts';
import { type Latency, Recorder } from './recorder.ts';
import { RegistryClient } from './registry-client.ts';
import type { Scenario, Sequence, SequenceRun } from './sequence.ts';
import { type Usage, UsageWatch } from './server-usage.ts';
import type { ServerKind } from './servers/server-kind.ts';
import type { Target } from './servers/target.ts';

/** One run of a sequence on one server. */
export type RunResult = {
  readonly seconds: number;
  readonly requests: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly latencyMs: Latency;
  readonly stepsMs: Readonly<Record<string, Latency>>;
  readonly payloadBytes: number;
  /** Absent for a server that this benchmark did not start. */
  readonly server?: Usage;
  /** CPU time of the load generator, which shares the machine. */
  readonly clientCpuSeconds: number;
};

export type SequenceResult = {
  readonly sequence: Sequence;
  /** By the name of the server, in the order of the runs. */
  readonly runs: ReadonlyMap<string, readonly RunResult[]>;
  /** Servers without a result, and why. */
  readonly missing: ReadonlyMap<string, string>;
};

export type RunOptions = {
  readonly rounds: number;
  /** Names of sequences to run. */
  readonly wanted: (name: string) => boolean;
  /** Where servers keep their data, one after the other. */
  readonly folder: string;
  /** Compares the digest of a layer that was pushed and pulled before the timing starts. */
  readonly checksDigests: boolean;
  readonly progress: (line: string) => void;
};

/** A server warms up with fifths of a run until this much time is over: runtimes that compile hot code need more than one. */
const warmUp = { share: 0.2, ms: 3000 };

/**
 * Runs every wanted sequence on every server. Only one server runs at a time, each time on empty data; the servers take turns
 * within each round, so that a drift of the machine touches all alike.
 */
export async function* runScenarios(
  scenarios: readonly Scenario[],
  servers: readonly ServerKind[],
  options: RunOptions,
): AsyncGenerator<SequenceResult> {
  const images = new ImageSource();
  for (const scenario of scenarios) {
    const sequences = scenario.sequences.filter((sequence) => options.wanted(sequence.name));
    if (sequences.length === 0) continue;
    const outcome = new Outcome();
    const rounds = scenario.rounds ?? options.rounds;
    for (let round = 1; round <= rounds; round++) {
      for (const server of servers) {
        options.progress(
          `${server.name}: ${sequences.map((sequence) => sequence.name).join(', ')} (${round} of ${rounds})`,
        );
        await runOnce({ scenario, sequences, server, images, options, outcome });
      }
    }
    yield* sequences.map((sequence) => outcome.of(sequence));
  }
}

class Outcome {
  readonly #runs = new Map<string, Map<string, RunResult[]>>();
  readonly #missing = new Map<string, Map<string, string>>();

  add(sequence: Sequence, server: ServerKind, result: RunResult): void {
    const ofServers = this.#runs.get(sequence.name) ?? new Map<string, RunResult[]>();
    this.#runs.set(sequence.name, ofServers.set(server.name, [...(ofServers.get(server.name) ?? []), result]));
  }

  miss(sequence: Sequence, server: ServerKind, why: string): void {
    const ofServers = this.#missing.get(sequence.name) ?? new Map<string, string>();
    this.#missing.set(sequence.name, ofServers.set(server.name, why));
  }

  of(sequence: Sequence): SequenceResult {
    const { name } = sequence;
    return { sequence, runs: this.#runs.get(name) ?? new Map(), missing: this.#missing.get(name) ?? new Map() };
  }
}

type Once = {
  readonly scenario: Scenario;
  readonly sequences: readonly Sequence[];
  readonly server: ServerKind;
  readonly images: ImageSource;
  readonly options: RunOptions;
  readonly outcome: Outcome;
};

/** Starts a server on empty data, prepares it, runs the sequences, stops it and deletes its data. */
async function runOnce({ scenario, sequences, server, images, options, outcome }: Once): Promise<void> {
  const missAll = (why: string) => sequences.forEach((sequence) => void outcome.miss(sequence, server, why));
  const reason = scenario.without?.[server.name];
  if (reason !== undefined) return missAll(reason);
  const folder = join(options.folder, 'server');
  mkdirSync(folder);
  try {
    const { target, stop } = await server.start(folder);
    try {
      if (options.checksDigests) await checkRoundTrip(target, images);
      const runs = await scenario.prepare(target, images);
      for (const sequence of sequences) {
        const run = runs.get(sequence.name);
        if (run === undefined) outcome.miss(sequence, server, 'not offered');
        else outcome.add(sequence, server, await measured(target, sequence, run));
      }
    } finally {
      await stop();
    }
  } catch (cause) {
    missAll(shortened(cause));
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    settle();
  }
}

async function measured(target: Target, sequence: Sequence, run: SequenceRun): Promise<RunResult> {
  if (sequence.warmsUp === true) await warmedUp(run);
  settle();
  const recorder = new Recorder();
  const pid = target.pid();
  const watch = pid === undefined ? undefined : new UsageWatch(pid);
  const cpu = process.cpuUsage();
  const start = performance.now();
  let usage: Usage | undefined;
  try {
    await run(recorder, 1);
  } finally {
    const used = watch?.stop();
    // A restarted server is another process: its use cannot be told from the one before.
    usage = target.pid() === pid ? used : undefined;
  }
  const seconds = (performance.now() - start) / 1000;
  const clientCpu = process.cpuUsage(cpu);
  return {
    seconds,
    requests: recorder.count,
    failed: recorder.failed,
    errors: Object.fromEntries(recorder.errors),
    latencyMs: recorder.latency(),
    stepsMs: recorder.steps(),
    payloadBytes: recorder.payloadBytes,
    ...(usage === undefined ? {} : { server: usage }),
    clientCpuSeconds: (clientCpu.user + clientCpu.system) / 1_000_000,
  };
}

/** One line: what a program printed before it ended can be long. */
function shortened(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}

async function warmedUp(run: SequenceRun): Promise<void> {
  const end = performance.now() + warmUp.ms;
  do await run(new Recorder(), warmUp.share);
  while (performance.now() < end);
}

async function checkRoundTrip(target: Target, images: ImageSource): Promise<void> {
  const client = new RegistryClient(target, new Recorder());
  for (const sizeBytes of [MiB, 10 * MiB]) {
    const image = images.unique(sizeBytes);
    await client.pushMonolith('bench/check', 'v1', image);
    await client.checkBlob('bench/check', image.layer.digest);
  }
  client.close();
}

/** Writes to disk what earlier work left in memory, so that nobody pays for it later. */
function settle(): void {
  execFileSync('sync');
}
