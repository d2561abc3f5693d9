import type { Database, Transaction } from '../../../platform/database/database.ts';
import type { Ids } from '../../../platform/ids.ts';
import type { Jobs } from '../../../platform/jobs/jobs.ts';
import { parentRegistry } from '../../access/registry-children.ts';
import {
  changeRegistryIdentity,
  forgetRegistryIdentity,
  settleRegistryIdentity,
} from '../../registries/registry-identity.ts';
import type { Desired, Resource } from '../../resources/resource.ts';
import type { Change, Writing } from '../../resources/resource-type.ts';
import { refuseUnknownPool } from './agent-pool.ts';
import { settleStepAuthor } from './step-author.ts';
import { storedTaskOf } from './task.ts';
import { withStoredAddresses } from './task-addresses.ts';
import { openTask, sealSecrets, type TaskSecretParts } from './task-secrets.ts';
import { leaveSources, writeSources } from './task-sources.ts';
import { forgetTimers, writeTimers } from './task-timers.ts';

export type TaskChangeParts = TaskSecretParts & {
  readonly database: Pick<Database, 'kind'>;
  readonly ids: Ids;
  /** GUID of the tenant. */
  readonly tenantId: string;
  readonly jobs: Pick<Jobs, 'add'>;
};

/** The job that has the providers of a task's repositories call, or call no more; its key is the task's uid. */
export const providerHooksJob = 'builds.hooks';

/** Hides the secrets of a task, and settles who it is and whose rights it has. */
export async function settleTask(parts: TaskChangeParts, tx: Transaction, change: Change): Promise<Desired> {
  const { previous } = change;
  const resource = withStoredAddresses(change.resource, previous);
  await refuseUnknownPool(tx, resource, storedTaskOf(resource).agentPoolName);
  const identity = await settleRegistryIdentity(parts, tx, change);
  const properties = sealSecrets(parts, resource, previous);
  const stepAuthor = settleStepAuthor(parts, { ...change, resource }, { identity, properties });
  return { ...resource, identity, properties: { ...properties, stepAuthor } };
}

/** Brings what starts a task in line with what it says, in the transaction that writes it. */
export async function applyTask(parts: TaskChangeParts, writing: Writing, change: Change): Promise<void> {
  const { tx } = writing;
  const { resource } = change;
  const task = openTask(parts, resource);
  const { uid: registryUid } = await parentRegistry(parts.database.kind, tx, resource);
  await changeRegistryIdentity(parts, writing, change);
  await writeTimers(tx, resource, task, registryUid);
  if (await writeSources(parts, tx, resource, task, registryUid)) await tellProviders(parts, tx, resource.uid);
}

/** In the transaction that deletes the task; runs that it made stay. */
export async function forgetTask(parts: TaskChangeParts, writing: Writing, resource: Resource): Promise<void> {
  const { tx } = writing;
  const { uid } = resource;
  await forgetRegistryIdentity(writing, resource);
  await forgetTimers(tx, uid);
  if (await leaveSources(parts, tx, uid)) await tellProviders(parts, tx, uid);
  await tx.deleteFrom('task_bases').where('task_uid', '=', uid).execute();
  await tx.deleteFrom('task_outputs').where('task_uid', '=', uid).execute();
  await tx.deleteFrom('task_rebuild_steps').where('task_uid', '=', uid).execute();
}

async function tellProviders({ jobs }: TaskChangeParts, tx: Transaction, taskUid: string): Promise<void> {
  await jobs.add(tx, { kind: providerHooksJob, key: taskUid, payload: { taskUid } });
}
