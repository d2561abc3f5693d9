import type { Digest } from '../../src/core/digest.ts';
import { parseRegistryName } from '../../src/core/registry-name.ts';
import { parseRepositoryName } from '../../src/core/repository-name.ts';
import type { Authority } from '../../src/features/access/authority.ts';
import { createAuthorizedChange } from '../../src/features/content/authorized-change.ts';
import { Blobs } from '../../src/features/content/blobs.ts';
import { Listings } from '../../src/features/content/listings.ts';
import { Manifests } from '../../src/features/content/manifests.ts';
import type { Place } from '../../src/features/content/place.ts';
import { RecentRepositories } from '../../src/features/content/recent-repositories.ts';
import { UploadTickets } from '../../src/features/content/upload-tickets.ts';
import { type UploadLimits, Uploads } from '../../src/features/content/uploads.ts';
import { raiseAccessEpoch } from '../../src/features/identity/access-epoch.ts';
import { openAccess } from '../../src/features/registries/registry.ts';
import { insertRegistry } from '../../src/features/registries/registry-store.ts';
import { createFolderStore } from '../../src/platform/blob-store/folder-store.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { createFailpoints } from '../../src/platform/failpoints.ts';
import { createJournal } from '../../src/platform/journal/create-journal.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { bodyOf, bytesOf } from './bodies.ts';
import type { OpenDatabase } from './databases.ts';
import type { SampleBlob } from './oci-samples.ts';
import { temporaryFolder } from './temporary-folder.ts';

export const quietLog = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

export const testRegion = 'test';

export type ContentOptions = {
  readonly database: Database;
  /** Of the blob store. */
  readonly folder: string;
  readonly clock?: Clock;
  /** As the variable FAILPOINT has it. */
  readonly failpoints?: string;
  readonly limits?: Partial<UploadLimits>;
  readonly isSparseAllowed?: boolean;
  readonly isChecked?: boolean;
  readonly hotBytes?: number;
};

export type ContentProcess = ReturnType<typeof contentProcess>;

/** The content features of one process, over real parts; two on one database and folder are two processes. */
export function contentProcess(options: ContentOptions) {
  const { database, folder, clock = systemClock } = options;
  const failpoint = createFailpoints(options.failpoints, clock);
  const store = createFolderStore({ folder, ids, failpoint });
  const journal = createJournal({ database, clock, ids });
  const recent = new RecentRepositories();
  const change = createAuthorizedChange(database, journal, recent);
  const limits: UploadLimits = {
    idleMs: 86_400_000,
    maxBlobBytes: 64 * 1024 * 1024,
    maxOpenPerIdentity: 1000,
    graceMs: 86_400_000,
    ...options.limits,
  };
  const parts = { database, clock, failpoint, store, journal, change, recent, ids, log: quietLog };
  return {
    ...parts,
    limits,
    blobs: new Blobs({
      ...parts,
      graceMs: limits.graceMs,
      isChecked: options.isChecked ?? true,
      hotBytes: options.hotBytes ?? 0,
    }),
    uploads: new Uploads({ ...parts, limits, tickets: new UploadTickets(Buffer.alloc(32, 7)) }),
    manifests: new Manifests({
      ...parts,
      graceMs: limits.graceMs,
      region: testRegion,
      isSparseAllowed: options.isSparseAllowed ?? false,
    }),
    listings: new Listings(database),
  };
}

/** A tenant with two registries, on an empty database. */
export async function sampleRegistries(database: Database) {
  const tenantUid = ids.uid();
  const registries = { registryUid: ids.uid(), otherUid: ids.uid() };
  const common = {
    tenantUid,
    sku: 'Premium',
    isAdminEnabled: false,
    isAnonymousPullEnabled: false,
    ...openAccess,
  } as const;
  await database.transaction(async (tx) => {
    await tx
      .insertInto('tenants')
      .values({ uid: tenantUid, tenant_id: ids.guid(), access_epoch: 1, created_at: 0 })
      .execute();
    await insertRegistry(tx, { ...common, uid: registries.registryUid, name: parseRegistryName('contoso') }, 0);
    await insertRegistry(tx, { ...common, uid: registries.otherUid, name: parseRegistryName('fabrikam') }, 0);
  });
  const raiseEpoch = () => database.transaction((tx) => raiseAccessEpoch(tx, tenantUid));
  return { tenantUid, ...registries, raiseEpoch };
}

/** The authority of somebody who may do everything, confirmed at whatever epoch. */
export function fullAuthority(name = 'somebody', replaced: Partial<Authority> = {}): Authority {
  let epoch = 1;
  return {
    principal: { kind: 'user', uid: name, name, isOwner: true, registryUid: undefined },
    epoch: () => epoch,
    confirm: async (current) => {
      epoch = current;
    },
    allows: () => true,
    requireToken: () => {},
    visible: () => ({ kind: 'all' }),
    ...replaced,
  };
}

export type ContentBench = Awaited<ReturnType<typeof contentBench>>;

/** Two processes on one fresh database and one folder, and what tests ask of them. */
export async function contentBench(open: OpenDatabase, options: Omit<ContentOptions, 'database' | 'folder'> = {}) {
  const folder = temporaryFolder('content');
  const database = await open();
  const registries = await sampleRegistries(database);
  const here = contentProcess({ ...options, database, folder: folder.path });
  const another = async (more: Omit<ContentOptions, 'database' | 'folder'> = {}) =>
    contentProcess({ ...options, ...more, database: await open({ again: database }), folder: folder.path });
  const place = (name: string, registryUid = registries.registryUid): Place => ({
    registryUid,
    repository: parseRepositoryName(name),
  });
  return {
    ...registries,
    folder,
    database,
    here,
    another,
    place,
    push: async (at: Place, blob: SampleBlob) => {
      await here.uploads.push(at, fullAuthority(), blob.digest, bodyOf(blob.bytes));
    },
    pull: async (at: Place, digest: Digest): Promise<Buffer> =>
      await bytesOf(here.blobs.read(await here.blobs.find(at, digest, fullAuthority()))),
    stored: async () => await Array.fromAsync(here.store.list('')),
  };
}
