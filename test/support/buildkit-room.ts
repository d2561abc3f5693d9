import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { createBuildah } from '../../src/agent/executors/buildah.ts';
import { type BuildKitSettings, withBuildKit } from '../../src/agent/executors/buildkit.ts';
import type { Cell } from '../../src/agent/executors/cell.ts';
import type { Executor, ExecutorOptions, ImageBuild } from '../../src/agent/executors/executor.ts';
import { createRelay } from '../../src/agent/executors/relay.ts';
import { openUserCell } from '../../src/agent/executors/user-cell.ts';
import { RunLog } from '../../src/agent/run-log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import type { Workbench } from '../end-to-end/workbench.ts';

const limits = { cpus: 2, memoryMiB: 1024, diskMiB: 2048, processes: 512 };
let count = 0;

export type BuildKitRoomOptions = {
  readonly bench: Workbench;
  readonly settings: BuildKitSettings;
  readonly hasNetwork?: boolean;
  readonly masked?: readonly string[];
  readonly cacheNamespace?: string;
};

/** The room of one run, signed in to the registry of a workbench, which builds with BuildKit. */
export class BuildKitRoom {
  readonly cell: Cell;
  readonly executor: Executor;
  readonly #log: RunLog;
  readonly #shown: Buffer[];

  private constructor(cell: Cell, executor: Executor, log: RunLog, shown: Buffer[]) {
    this.cell = cell;
    this.executor = executor;
    this.#log = log;
    this.#shown = shown;
  }

  static async open({ bench, settings, ...more }: BuildKitRoomOptions): Promise<BuildKitRoom> {
    const { hasNetwork = true, masked = [], cacheNamespace = bench.named.host } = more;
    count += 1;
    const server = bench.named.host;
    const cell = await openUserCell({
      name: `buildkit-${process.pid}-${count}`,
      root: join(bench.folder, 'rooms'),
      limits,
      firstUserId: 1_910_000_000,
      hosts: [server.replace(/:\d+$/, '')],
    });
    await cell.listen(bench.server.ports.https, createRelay({ host: 'localhost', port: bench.server.ports.https }));
    const trusted = `/etc/containers/certs.d/${server}`;
    await cell.read(['mkdir', '-p', trusted]);
    await cell.read(['tee', `${trusted}/ca.crt`], { input: readFileSync(bench.server.caPath) });
    const shown: Buffer[] = [];
    const sink = async (bytes: Uint8Array) => void shown.push(Buffer.from(bytes));
    const log = new RunLog({ sink, clock: systemClock, maxBytes: 1024 * 1024, masked });
    const base = createBuildah({ cell, env: {}, isolation: 'oci' });
    const executor = withBuildKit(base, {
      cell,
      settings,
      env: {},
      hasNetwork,
      servers: [server],
      masked,
      cacheNamespace,
    });
    const room = new BuildKitRoom(cell, executor, log, shown);
    await executor.signIn(server, bench.username, bench.password, room.options());
    return room;
  }

  /** All that people would read of the run. */
  get log(): string {
    return Buffer.concat(this.#shown).toString('utf8');
  }

  options(signal: AbortSignal = new AbortController().signal): ExecutorOptions {
    return { output: this.#log.output(), signal };
  }

  /** A folder of the run with these files, built as asked: by its `Dockerfile`, for amd64, pushed, unless asked otherwise. */
  async build(
    files: Readonly<Record<string, string>>,
    asked: Partial<ImageBuild>,
    signal: AbortSignal = new AbortController().signal,
  ): Promise<void> {
    const context = `${this.cell.folder}/workspace`;
    for (const [name, text] of Object.entries(files)) {
      await this.cell.read(['mkdir', '-p', dirname(join(context, name))]);
      await this.cell.read(['tee', join(context, name)], { input: Buffer.from(text) });
    }
    const plain: ImageBuild = {
      ...{ context, dockerfile: `${context}/Dockerfile`, tags: [], pushes: true, target: undefined },
      ...{ platforms: [{ os: 'linux', architecture: 'amd64' }], arguments: new Map(), labels: [], annotations: [] },
      ...{ hasCache: true, pulls: false, isSquashed: false, secrets: [], addedHosts: [], cacheRepository: undefined },
      cpus: undefined,
    };
    await this.executor.build({ ...plain, ...asked }, this.options(signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cell.close();
  }
}
