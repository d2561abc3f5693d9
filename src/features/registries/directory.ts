import { registryKey } from '../../core/registry-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import { createEpochReader } from '../identity/access-epoch.ts';
import type { Registry } from './registry.ts';
import { type LoginServerOf, listRegistries } from './registry-store.ts';

/** An unknown host makes the directory look into the database at most this often. */
const lookUpEveryMs = 1000;

/**
 * The registries of the installation's tenant, answered from memory as they were at one access epoch, which is also
 * the newest epoch this process knows of. A host may carry any port: a registry answers on all of the server's.
 */
export type Directory = {
  readonly epoch: () => number;
  readonly byHost: (host: string) => Registry | undefined;
  /** Like `byHost`, and looks for a registry that another process has just made. */
  readonly lookUp: (host: string) => Promise<Registry | undefined>;
  readonly byUid: (uid: string) => Registry | undefined;
  readonly byName: (name: string) => Registry | undefined;
  /** Answers to `localhost` and addresses. */
  readonly defaultRegistry: () => Registry | undefined;
  /** By name. */
  readonly list: () => readonly Registry[];
  /** The same in the order in which they were made: one that is new is the last, in every process. */
  readonly oldestFirst: () => readonly Registry[];
  /** Loads again when what is in memory is older than that epoch. */
  readonly catchUp: (epoch: number) => Promise<void>;
  /** Reads the epoch and catches up with it. */
  readonly refresh: () => Promise<void>;
};

export type DirectoryParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly tenantUid: string;
  readonly loginServerOf: LoginServerOf;
  readonly defaultRegistryName: string;
};

type Snapshot = {
  readonly epoch: number;
  readonly list: readonly Registry[];
  readonly oldestFirst: readonly Registry[];
  readonly byHost: ReadonlyMap<string, Registry>;
  readonly byUid: ReadonlyMap<string, Registry>;
  readonly byName: ReadonlyMap<string, Registry>;
};

export async function openDirectory(parts: DirectoryParts): Promise<Directory> {
  const readEpoch = createEpochReader(parts.database.read, parts.tenantUid);
  const load = async (): Promise<Snapshot> => {
    // The epoch first: registries newer than their epoch are only loaded once more, older ones would be believed.
    const epoch = await readEpoch();
    return snapshotOf(epoch, await listRegistries(parts.database.read, parts.tenantUid, parts.loginServerOf));
  };
  return new LoadedDirectory(parts, readEpoch, load, await load());
}

class LoadedDirectory implements Directory {
  readonly #clock: Clock;
  readonly #defaultKey: string;
  readonly #readEpoch: () => Promise<number>;
  readonly #load: () => Promise<Snapshot>;
  #snapshot: Snapshot;
  #loading: Promise<void> | undefined;
  #nextLookUpMs = 0;

  constructor(
    parts: DirectoryParts,
    readEpoch: () => Promise<number>,
    load: () => Promise<Snapshot>,
    snapshot: Snapshot,
  ) {
    this.#clock = parts.clock;
    this.#defaultKey = registryKey(parts.defaultRegistryName);
    this.#readEpoch = readEpoch;
    this.#load = load;
    this.#snapshot = snapshot;
  }

  readonly epoch = () => this.#snapshot.epoch;
  readonly byHost = (host: string) => this.#snapshot.byHost.get(hostName(host));
  readonly byUid = (uid: string) => this.#snapshot.byUid.get(uid);
  readonly byName = (name: string) => this.#snapshot.byName.get(registryKey(name));
  readonly defaultRegistry = () => this.#snapshot.byName.get(this.#defaultKey);
  readonly list = () => this.#snapshot.list;
  readonly oldestFirst = () => this.#snapshot.oldestFirst;

  readonly lookUp = async (host: string) => {
    const known = this.byHost(host);
    if (known !== undefined || this.#clock.monotonicMs() < this.#nextLookUpMs) return known;
    this.#nextLookUpMs = this.#clock.monotonicMs() + lookUpEveryMs;
    await this.refresh();
    return this.byHost(host);
  };

  readonly refresh = async () => {
    await this.catchUp(await this.#readEpoch());
  };

  readonly catchUp = async (epoch: number) => {
    // A load that was under way may have begun before the epoch was raised; the next one has not.
    if (epoch > this.#snapshot.epoch) await this.#loading;
    if (epoch > this.#snapshot.epoch) await this.#loadOnce();
  };

  #loadOnce(): Promise<void> {
    this.#loading ??= this.#load()
      .then((snapshot) => {
        this.#snapshot = snapshot;
      })
      .finally(() => {
        this.#loading = undefined;
      });
    return this.#loading;
  }
}

function snapshotOf(epoch: number, oldestFirst: readonly Registry[]): Snapshot {
  const list = oldestFirst.toSorted((a, b) => (registryKey(a.name) < registryKey(b.name) ? -1 : 1));
  return {
    epoch,
    list,
    oldestFirst,
    byHost: new Map(list.map((registry) => [hostName(registry.loginServer), registry])),
    byUid: new Map(list.map((registry) => [registry.uid, registry])),
    byName: new Map(list.map((registry) => [registryKey(registry.name), registry])),
  };
}

/** Lower case, without port and root dot. */
function hostName(host: string): string {
  const colon = host.indexOf(':');
  const name = colon < 0 ? host : host.slice(0, colon);
  return (name.endsWith('.') ? name.slice(0, -1) : name).toLowerCase();
}
