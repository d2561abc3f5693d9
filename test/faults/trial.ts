import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type BerthOptions, type BerthServer, type Ports, startBerth } from '../support/berth-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { History } from './history.ts';
import { faultsInDatabase, leftoversIn, letTimePass } from './leftovers.ts';
import { RegistryClient } from './registry-client.ts';
import { type Verdict, type VerifyOptions, verify } from './verify.ts';
import { usualSize, Workload, type WorkloadSize } from './workload.ts';

export type TrialOptions = Pick<BerthOptions, 'settings' | 'env'> & {
  /** Holds the data folder; a temporary folder when absent. */
  readonly place?: string;
};

/**
 * A data folder with the embedded database, on which servers come and go, always at the same address, and the history of what clients were told, kept
 * elsewhere. Disposing ends the server and deletes the folders.
 */
export class Trial {
  readonly dataFolder: string;
  readonly history: History;
  readonly readyMs: number[] = [];
  readonly #options: TrialOptions;
  readonly #own = temporaryFolder('faults');
  #ports: Ports | undefined;
  #server: BerthServer | undefined;
  #client: RegistryClient | undefined;

  constructor(options: TrialOptions = {}) {
    this.#options = options;
    const place = options.place ?? join(this.#own.path, 'place');
    mkdirSync(place, { recursive: true });
    this.dataFolder = join(place, 'data');
    this.history = new History(join(this.#own.path, 'history.jsonl'));
  }

  /** A folder outside the data folder that goes with the trial. */
  get folder(): string {
    return this.#own.path;
  }

  get server(): BerthServer {
    if (this.#server === undefined) throw new Error('no server was started');
    return this.#server;
  }

  get client(): RegistryClient {
    if (this.#client === undefined) throw new Error('no server was started');
    return this.#client;
  }

  /** Starts a server on the folder; `extra` is for this start alone. */
  async start(extra: Pick<BerthOptions, 'settings' | 'env'> = {}): Promise<BerthServer> {
    const beganMs = performance.now();
    const ports = this.#ports === undefined ? {} : { ports: this.#ports };
    this.#server = await startBerth({
      ...this.#options,
      ...ports,
      dataFolder: this.dataFolder,
      database: 'sqlite',
      settings: { ...this.#options.settings, ...extra.settings },
      env: { ...this.#options.env, ...extra.env },
    });
    this.history.faultEnds();
    this.readyMs.push(performance.now() - beganMs);
    this.#ports = this.#server.ports;
    this.#client?.close();
    this.#client = new RegistryClient(this.#server.http, this.#server.admin);
    return this.#server;
  }

  /** Lets clients work until `fault` is done. */
  async loadDuring(fault: (server: BerthServer) => Promise<void>, size: WorkloadSize = usualSize): Promise<void> {
    const stop = new AbortController();
    const client = new RegistryClient(this.server.http, this.server.admin);
    const running = new Workload(client, this.history, size).run(stop.signal);
    try {
      await fault(this.server);
    } finally {
      stop.abort();
      await running;
      client.close();
    }
  }

  /** Fails the test unless everything that clients were told still holds. */
  async verify(options?: VerifyOptions): Promise<Verdict> {
    const verdict = await verify(this.client, this.history, options);
    assert.deepEqual(verdict.violations, []);
    return verdict;
  }

  /** Restarts so that upkeep runs at once, and fails the test when bytes stay that nothing needs: I6, I10. */
  async verifyClean(): Promise<void> {
    await this.stop();
    letTimePass(this.dataFolder);
    await this.start({ settings: { 'blob-grace': '1s', 'upload-idle-expiry': '1s' } });
    await waitFor('abandoned bytes are freed', 120_000, () => {
      const { unnamed, openUploads } = leftoversIn(this.dataFolder);
      if (unnamed.length > 0 || openUploads > 0) throw new Error(`${unnamed.length} files, ${openUploads} uploads`);
      return true;
    });
    await this.stop();
    assert.deepEqual(leftoversIn(this.dataFolder), { unnamed: [], missing: [], openUploads: 0 });
    assert.deepEqual(await faultsInDatabase(this.dataFolder), []);
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client?.close();
    await this.#server?.kill();
    this.#own.remove();
  }
}
