import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { armCaller } from '../support/arm-caller.ts';
import type { BerthServer } from '../support/berth-server.ts';
import { waitFor } from '../support/wait-for.ts';
import { processesThat, roomsOf, scheduleLongBuild } from './running-build.ts';

/** What the kernel grants the control group of a build, and what that has used. */
export type BuildUsage = {
  readonly cpus: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  readonly peakMemoryBytes: number;
};

export type BusyBuildsOptions = {
  readonly count: number;
  /** Processors of each; it has twice as much to do. */
  readonly cpus: number;
  /** Each holds so much memory. */
  readonly heldBytes: number;
};

const loop = 'while :; do :; done';
const root = '/sys/fs/cgroup';
const runSchema = z.looseObject({ properties: z.looseObject({ status: z.string() }) });

/** Builds of a server's own agent that use all they may, until they are told to pause. */
export class BusyBuilds implements AsyncDisposable {
  readonly #server: BerthServer;
  readonly #runIds: readonly string[];
  readonly #rooms: readonly string[];
  readonly #loops: readonly number[];
  #workedMs = 0;
  /** Undefined while they pause. */
  #resumedMs: number | undefined = performance.now();

  private constructor(server: BerthServer, runIds: readonly string[], rooms: readonly string[]) {
    this.#server = server;
    this.#runIds = runIds;
    this.#rooms = rooms;
    this.#loops = loopsIn(rooms);
  }

  /** Resolves once all of them are at work, for which their agent needs a slot each. */
  static async begin(server: BerthServer, { count, cpus, heldBytes }: BusyBuildsOptions): Promise<BusyBuilds> {
    const loops = Array.from({ length: 2 * cpus }, () => `sh -c "${loop}" &`);
    // What is held is what `tail` keeps of a stream that has not ended.
    const holding = `(head -c ${heldBytes} /dev/zero; sleep 3600) | tail -c ${heldBytes} &`;
    const line = [...loops, holding, 'wait'].join(' ');
    const runIds: string[] = [];
    for (let index = 0; index < count; index += 1) runIds.push(await scheduleLongBuild(server, line, { cpu: cpus }));
    const isAtWork = () => {
      const rooms = roomsOf(server);
      const isHolding = rooms.every((room) => usageOf(room).peakMemoryBytes > heldBytes);
      return rooms.length === count && isHolding && loopsIn(rooms).length === loops.length * count;
    };
    await waitFor(`${count} builds are at work\n${server.log()}`, 120_000, isAtWork);
    return new BusyBuilds(server, runIds, roomsOf(server));
  }

  /** They compute nothing from here on, and keep what they hold. */
  pause(): void {
    for (const id of this.#loops) process.kill(id, 'SIGSTOP');
    this.#workedMs += this.#sinceResumedMs();
    this.#resumedMs = undefined;
  }

  resume(): void {
    this.#resumedMs ??= performance.now();
    for (const id of this.#loops) process.kill(id, 'SIGCONT');
  }

  /** How long they have computed since they are at work. */
  workedSeconds(): number {
    return (this.#workedMs + this.#sinceResumedMs()) / 1000;
  }

  #sinceResumedMs(): number {
    return this.#resumedMs === undefined ? 0 : performance.now() - this.#resumedMs;
  }

  usages(): readonly BuildUsage[] {
    return this.#rooms.map(usageOf);
  }

  /** Whether a process counts within the limits of one of them. */
  hasProcess(id: number): boolean {
    return this.#rooms.some((room) => processesThat(({ groups }) => groups.includes(`/${room}`)).includes(id));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.running) return;
    const arm = await armCaller(this.#server);
    this.resume();
    for (const id of this.#runIds) await arm.post(`runs/${id}/cancel`);
    const statusOf = async (id: string) => runSchema.parse(await arm.get(`runs/${id}`)).properties.status;
    for (const id of this.#runIds)
      await waitFor('the build ends', 60_000, async () => (await statusOf(id)) === 'Canceled');
  }
}

function loopsIn(rooms: readonly string[]): readonly number[] {
  return processesThat(
    ({ words, groups }) => words[0] === 'sh' && words[2] === loop && rooms.some((room) => groups.includes(`/${room}`)),
  );
}

/** Source: cgroups(7); "Control Group v2" and "Memory Resource Controller" of the kernel's documentation. */
function usageOf(room: string): BuildUsage {
  const textOf = (...path: readonly string[]) => readFileSync(join(root, ...path), 'utf8').trim();
  if (existsSync(join(root, 'cgroup.controllers'))) {
    const own = (file: string) => textOf('berth-agent', room, file);
    const [quota = Number.NaN, period = Number.NaN] = own('cpu.max').split(' ').map(Number);
    const [, micros = 'NaN'] = /^usage_usec (\d+)$/m.exec(own('cpu.stat')) ?? [];
    return {
      cpus: quota / period,
      cpuSeconds: Number(micros) / 1e6,
      memoryBytes: Number(own('memory.max')),
      peakMemoryBytes: Number(own('memory.peak')),
    };
  }
  const of = (controller: string, file: string) => Number(textOf(controller, 'berth-agent', room, file));
  return {
    cpus: of('cpu', 'cpu.cfs_quota_us') / of('cpu', 'cpu.cfs_period_us'),
    cpuSeconds: of('cpuacct', 'cpuacct.usage') / 1e9,
    memoryBytes: of('memory', 'memory.limit_in_bytes'),
    peakMemoryBytes: of('memory', 'memory.max_usage_in_bytes'),
  };
}
