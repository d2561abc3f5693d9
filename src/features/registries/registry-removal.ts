import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import type { Resource } from '../resources/resource.ts';
import { hideRegistry } from './registry-store.ts';

export type RegistryRemovalParts = { readonly database: Database; readonly store: BlobStore };

const slice = 200;

/** Takes a registry out of use: hosts, tokens and sign-in end with the next request; its name stays taken. */
export async function withdrawRegistry(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  await hideRegistry(tx, uid);
  await raiseAccessEpoch(tx, tenantUid);
}

/**
 * Removes everything a withdrawn registry holds, in slices: what is cut off goes on where it stopped. Bytes go after the rows
 * that name them, so that a crash leaves orphans, which the sweep frees.
 */
export async function clearRegistry(
  parts: RegistryRemovalParts,
  { uid }: Pick<Resource, 'uid'>,
  job: Pick<JobRun, 'signal' | 'renew'>,
): Promise<void> {
  const steps = [
    removeUploads,
    removeLifecycleItems,
    removeTags,
    removeReferences,
    removeOf('manifests'),
    removeOf('deleted_tags'),
    removeOf('deleted_manifests'),
    removeOf('blob_links'),
    removeRepositories,
    removeBlobs,
  ];
  for (const step of steps) {
    while ((await step(parts, uid)) > 0) {
      job.signal.throwIfAborted();
      await job.renew();
    }
  }
}

/** Removes the last rows: the name is free after the commit. */
export async function forgetRegistry(tx: Transaction, { uid, tenantUid }: Resource): Promise<void> {
  const principals = tx.selectFrom('principals').where('registry_uid', '=', uid).select('uid');
  await tx.deleteFrom('secrets').where('principal_uid', 'in', principals).execute();
  await tx.deleteFrom('principals').where('registry_uid', '=', uid).execute();
  await tx.deleteFrom('registries').where('uid', '=', uid).execute();
  await raiseAccessEpoch(tx, tenantUid);
}

/** Removes at most one slice; answers how many went. */
type Step = (parts: RegistryRemovalParts, registryUid: string) => Promise<number>;

const removeUploads: Step = async ({ database, store }, registryUid) => {
  const rows = await database.transaction(async (tx) => {
    const some = tx.selectFrom('uploads').where('registry_uid', '=', registryUid).select('uid').limit(slice);
    return await tx.deleteFrom('uploads').where('uid', 'in', some).returning('handle').execute();
  });
  for (const { handle } of rows.filter((row) => row.handle !== '')) await store.abort(handle);
  return rows.length;
};

const removeLifecycleItems: Step = ({ database }, registryUid) =>
  database.transaction(async (tx) => {
    const rows = await tx
      .selectFrom('lifecycle_runs as r')
      .innerJoin('lifecycle_items as i', 'i.run_uid', 'r.uid')
      .where('r.registry_uid', '=', registryUid)
      .select(['i.run_uid', 'i.seq'])
      .limit(slice)
      .execute();
    for (const [run, some] of Map.groupBy(rows, (row) => row.run_uid))
      await tx
        .deleteFrom('lifecycle_items')
        .where('run_uid', '=', run)
        .where(
          'seq',
          'in',
          some.map((row) => row.seq),
        )
        .execute();
    return rows.length;
  });

const removeTags: Step = ({ database }, registryUid) =>
  database.transaction(async (tx) => {
    const rows = await ofRegistry(tx, registryUid)
      .innerJoin('tags as t', 't.repository_uid', 'r.uid')
      .select(['t.repository_uid', 't.name'])
      .limit(slice)
      .execute();
    for (const [repository, names] of Map.groupBy(rows, (row) => row.repository_uid))
      await tx
        .deleteFrom('tags')
        .where('repository_uid', '=', repository)
        .where(
          'name',
          'in',
          names.map((row) => row.name),
        )
        .execute();
    return rows.length;
  });

/** Apart from their manifests, as one index may have thousands. */
const removeReferences: Step = ({ database }, registryUid) =>
  database.transaction(async (tx) => {
    const rows = await ofRegistry(tx, registryUid)
      .innerJoin('manifest_references as m', 'm.repository_uid', 'r.uid')
      .select(['m.repository_uid', 'm.manifest_digest', 'm.digest'])
      .limit(slice)
      .execute();
    const ofManifest = Map.groupBy(rows, (row) => `${row.repository_uid} ${row.manifest_digest}`);
    for (const references of ofManifest.values())
      await tx
        .deleteFrom('manifest_references')
        .where('repository_uid', '=', references[0]?.repository_uid ?? '')
        .where('manifest_digest', '=', references[0]?.manifest_digest ?? '')
        .where(
          'digest',
          'in',
          references.map((row) => row.digest),
        )
        .execute();
    return rows.length;
  });

/** Rows of a repository that name a digest. */
function removeOf(table: 'manifests' | 'blob_links' | 'deleted_manifests' | 'deleted_tags'): Step {
  return ({ database }, registryUid) =>
    database.transaction(async (tx) => {
      const rows = await tx
        .selectFrom(table)
        .where('repository_uid', 'in', ofRegistry(tx, registryUid).select('r.uid'))
        .select(['repository_uid', 'digest'])
        .limit(slice)
        .execute();
      for (const [repository, some] of Map.groupBy(rows, (row) => row.repository_uid))
        await tx
          .deleteFrom(table)
          .where('repository_uid', '=', repository)
          .where(
            'digest',
            'in',
            some.map((row) => row.digest),
          )
          .execute();
      return rows.length;
    });
}

const removeRepositories: Step = ({ database }, registryUid) =>
  database.transaction(async (tx) => {
    const some = tx.selectFrom('repositories').where('registry_uid', '=', registryUid).select('uid').limit(slice);
    const rows = await tx.deleteFrom('repositories').where('uid', 'in', some).returning('uid').execute();
    return rows.length;
  });

const removeBlobs: Step = async ({ database, store }, registryUid) => {
  const keys = await database.transaction(async (tx) => {
    const some = tx.selectFrom('blobs').where('registry_uid', '=', registryUid).select('digest').limit(slice);
    const rows = await tx
      .deleteFrom('blobs')
      .where('registry_uid', '=', registryUid)
      .where('digest', 'in', some)
      .returning('storage_key')
      .execute();
    return rows.map((row) => row.storage_key);
  });
  if (keys.length > 0) await store.removeMany(keys);
  return keys.length;
};

function ofRegistry(tx: Transaction, registryUid: string) {
  return tx.selectFrom('repositories as r').where('r.registry_uid', '=', registryUid);
}
