import { DataFolder } from './data-folder.ts';
import { openInstallation } from './installation.ts';
import { openBlobStore } from './open-blob-store.ts';
import { claimOwnStore } from './own-store.ts';
import { createAccessLog } from './platform/access-log/create-access-log.ts';
import { openPostgres } from './platform/database/postgres-database.ts';
import { openSqlite } from './platform/database/sqlite-database.ts';
import { createFailpoints } from './platform/failpoints.ts';
import { createJournal } from './platform/journal/create-journal.ts';
import type { JournalWakes } from './platform/journal/journal-wakes.ts';
import { openPostgresWakes } from './platform/journal/postgres-wakes.ts';
import {
  type MasterKeys,
  parseMasterKeys,
  readMasterKeyFile,
  readOrCreateMasterKeyFile,
} from './platform/keys/master-keys.ts';
import { createPasswordHasher } from './platform/keys/password-hasher.ts';
import { createSealer } from './platform/keys/sealer.ts';
import type { Log } from './platform/log.ts';
import { createOutbound } from './platform/outbound/outbound.ts';
import { systemClock as clock } from './platform/system-clock.ts';
import { systemIds as ids } from './platform/system-ids.ts';
import { diskFailedCode } from './process-messages.ts';
import type { ProcessRole, WorkerLink } from './process-worker.ts';
import type { Settings } from './settings.ts';

const postgresPoolSize = 16;

export type Data = Awaited<ReturnType<typeof openData>>;

export type Opening = {
  readonly log: Log;
  readonly opened: AsyncDisposableStack;
  readonly role: ProcessRole;
  readonly link: WorkerLink | undefined;
  /** Armed by tests: `FAILPOINT`. */
  readonly failpoints: string | undefined;
};

/** Everything that keeps something, and the installation it keeps. Throws when the blob store is not the installation's. */
export async function openData(settings: Settings, opening: Opening) {
  const { mark, ...data } = await openUnclaimed(settings, opening);
  const { tenantUid } = data.installation;
  await claimOwnStore({ ...data, mark, tenantUid, log: opening.log, areBlobsGone: settings.blobsGone });
  return data;
}

/** As `openData`, whoever the blob store belongs to: `mark` tells. */
export async function openUnclaimed(settings: Settings, { log, opened, role, link, failpoints }: Opening) {
  const folder = new DataFolder(settings.data);
  folder.create();
  const lock = role === 'worker' ? undefined : folder.lock();
  opened.defer(() => lock?.release());
  const masterKeys = openMasterKeys(settings, folder);
  const sealer = createSealer(masterKeys, ids);
  const failpoint = createFailpoints(failpoints, clock);
  const database =
    settings.database === undefined
      ? await openSqlite({
          file: folder.database,
          clock,
          ids,
          log,
          ...sharingOf(role),
          onSyncFailed: () => endNow(role),
        })
      : await openPostgres({ url: settings.database, poolSize: postgresPoolSize, clock, ids });
  opened.defer(() => database.close());
  const {
    store,
    mark,
    notes,
    links: blobLinks,
    close: closeStore,
  } = await openBlobStore(settings, { clock, ids, failpoint });
  opened.defer(closeStore);
  const journal = createJournal({ database, clock, ids, ...openWakes(settings, opened, link) });
  const accessLog = createAccessLog({ database, clock, ids, log });
  opened.defer(() => accessLog.close());
  const passwords = createPasswordHasher(ids);
  const outbound = createOutbound({ allow: settings.outboundAllow, hosts: settings.outboundHost, clock });
  opened.defer(() => outbound.close());
  const kept = {
    clock,
    ids,
    log,
    folder,
    masterKeys,
    sealer,
    failpoint,
    database,
    store,
    notes,
    ...(blobLinks && { blobLinks }),
    journal,
    accessLog,
    passwords,
    outbound,
  };
  const installation = await openInstallation(kept);
  return { ...kept, ...installation, mark };
}

/** Workers leave the order of the file to the process that started them. */
function sharingOf(role: ProcessRole) {
  return { isFirst: role !== 'worker', isShared: role !== 'alone' };
}

/** Processes tell each other of new events: through PostgreSQL, or through the process that started them. */
function openWakes(
  { database }: Settings,
  opened: AsyncDisposableStack,
  link: WorkerLink | undefined,
): { readonly wakes?: JournalWakes } {
  if (database === undefined) return link === undefined ? {} : { wakes: link.wakes };
  const wakes = openPostgresWakes({ url: database, clock });
  opened.defer(() => wakes.close());
  return { wakes };
}

/** Servers that share a database need the same key, so it comes from outside. */
function openMasterKeys({ masterKey, masterKeyFile, database }: Settings, folder: DataFolder): MasterKeys {
  if (masterKey !== undefined) return parseMasterKeys(masterKey);
  if (masterKeyFile !== undefined) return readMasterKeyFile(masterKeyFile);
  if (database === undefined) return readOrCreateMasterKeyFile(folder.masterKey, ids);
  throw new Error(
    'PostgreSQL needs a master key that every server has: --master-key-file or BERTH_MASTER_KEY (openssl rand -base64 32)',
  );
}

/** What is told to nobody is undone by the next start. A worker takes all processes with it: SQLite shares its memory among them. */
function endNow(role: ProcessRole): never {
  process.exit(role === 'worker' ? diskFailedCode : 1);
}
