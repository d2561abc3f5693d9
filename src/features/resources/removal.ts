import { z } from 'zod';
import type { Transaction } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Append } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import { isConvergenceRunning } from './convergence.ts';
import { refuseLocked } from './locks.ts';
import { endOperations, forgetOperations, insertOperation } from './operation-store.ts';
import type { Author, Resource } from './resource.ts';
import { tellResource } from './resource-events.ts';
import { groupType } from './resource-names.ts';
import { deleteResource, findByUid, findForUpdate, listBelow, updateResource } from './resource-store.ts';
import type { ResourceType, ResourceTypes } from './resource-type.ts';
import { type Preconditions, type ResourcesParts, refuseUnmatched } from './resources.ts';

export type RemovalParts = ResourcesParts & {
  readonly types: ResourceTypes;
  readonly log: Log;
};

export type RemovalRequest = Preconditions & { readonly id: string; readonly author: Author };

/** How a deletion stands after its request. */
export type Removal =
  | { readonly kind: 'absent' }
  | { readonly kind: 'done' }
  | { readonly kind: 'begun'; readonly operationUid: string };

const jobKind = 'resources.remove';
const jobPayload = z.object({ uid: z.string() });
const slice = 100;
/** Members of one group that are looked at. */
const maxMembers = 100_000;
/** After so many failed runs the caller is told; the job goes on trying. */
const attemptsUntilFailed = 5;
const convergencePollMs = 250;
const operationsKeptMicros = 24 * 3_600 * 1_000_000;

/**
 * Deletes resources of every type, children first. Types with a long part, groups, and resources with a hundred others below
 * them become an operation: the resource is out of use at once, and a job that survives restarts removes what hangs on it.
 */
export class Removals {
  readonly #parts: RemovalParts;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  /** Throws `scopeLocked`, `preconditionFailed`. */
  async begin(request: RemovalRequest): Promise<Removal> {
    const { journal, database, tenantUid, ids, clock } = this.#parts;
    return await journal.transaction(async (tx, append): Promise<Removal> => {
      const resource = await findForUpdate(database.kind, tx, tenantUid, request.id);
      if (resource === undefined) return { kind: 'absent' };
      refuseUnmatched(request, resource);
      await refuseLocked(tx, tenantUid, resource, 'delete');
      for (const each of await this.#within(tx, resource)) this.#typeOf(each).refuseRemoval?.(each);
      const type = this.#typeOf(resource);
      const withdrawn = await this.#withdraw(tx, append, type, { ...resource, changedBy: request.author });
      const hasManyBelow = (await listBelow(tx, tenantUid, resource.id, slice)).length === slice;
      if (type.clear === undefined && !hasManyBelow) {
        await this.#forgetTree(tx, append, withdrawn);
        return { kind: 'done' };
      }
      const operationUid = ids.uid();
      const nowMicros = clock.nowMicros();
      await insertOperation(tx, {
        uid: operationUid,
        tenantUid,
        resourceUid: resource.uid,
        resourceId: resource.id,
        nowMicros,
      });
      await this.#parts.jobs.add(tx, { kind: jobKind, key: resource.uid, payload: { uid: resource.uid } });
      return { kind: 'begun', operationUid };
    });
  }

  /** The background work of deletions; forgets operations that ended a day ago. */
  jobKinds(): JobKind[] {
    return [
      { kind: jobKind, run: (job) => this.#run(job), leaseMs: 30_000, maxAttempts: 100_000 },
      {
        kind: 'resources.operations.forget',
        run: async () => {
          const { database, clock } = this.#parts;
          await database.transaction((tx) => forgetOperations(tx, clock.nowMicros() - operationsKeptMicros));
        },
        leaseMs: 60_000,
        maxAttempts: 3,
        everyMs: 3_600_000,
      },
    ];
  }

  /** Removes a resource that was withdrawn, with everything in it. For types that hold others, such as groups. */
  async finish(resource: Resource, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    for (let below = await this.#below(resource); below.length > 0; below = await this.#below(resource)) {
      for (const each of below) {
        job.signal.throwIfAborted();
        await this.finish(await this.#withdrawNow(each, resource.changedBy), job);
        await job.renew();
      }
    }
    const type = this.#typeOf(resource);
    if (type.converge !== undefined) await this.#convergenceEnded(resource, job);
    await type.clear?.(resource, job);
    await this.#parts.journal.transaction(async (tx, append) => {
      await this.#forgetTree(tx, append, resource);
    });
  }

  /** What a run makes before it sees that its resource is leaving is there for `clear` to find. */
  async #convergenceEnded({ uid }: Resource, { signal, renew }: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
    while (await isConvergenceRunning(this.#parts.database.read, uid)) {
      await this.#parts.clock.sleep(convergencePollMs, signal);
      await renew();
    }
  }

  async #run(job: JobRun): Promise<void> {
    const { uid } = jobPayload.parse(job.payload);
    const resource = await findByUid(this.#parts.database.read, uid);
    if (resource === undefined) return;
    try {
      await this.finish(resource, job);
    } catch (error) {
      if (!job.signal.aborted && job.attempt >= attemptsUntilFailed) await this.#tellFailed(resource, error);
      throw error;
    }
  }

  async #tellFailed(resource: Resource, error: unknown): Promise<void> {
    this.#parts.log.error('deletion of a resource fails', { resourceId: resource.id, error });
    const message = `'${resource.id}' could not be deleted yet. The server goes on trying.`;
    await this.#parts.database.transaction(async (tx) => {
      const nowMicros = this.#parts.clock.nowMicros();
      await endOperations(tx, resource.uid, { error: { code: 'InternalServerError', message }, nowMicros });
    });
  }

  /** The resource and, for a group, its members. */
  async #within(tx: Transaction, resource: Resource): Promise<Resource[]> {
    if (resource.type !== groupType) return [resource];
    return [resource, ...(await listBelow(tx, resource.tenantUid, resource.id, maxMembers))];
  }

  async #below(resource: Resource): Promise<Resource[]> {
    return await listBelow(this.#parts.database.read, resource.tenantUid, resource.id, slice);
  }

  async #withdrawNow(resource: Resource, author: Author): Promise<Resource> {
    const { journal, database, tenantUid } = this.#parts;
    return await journal.transaction(async (tx, append) => {
      const current = await findForUpdate(database.kind, tx, tenantUid, resource.id);
      if (current?.uid !== resource.uid) return resource;
      return await this.#withdraw(tx, append, this.#typeOf(current), { ...current, changedBy: author });
    });
  }

  /** Nothing when it was done before. */
  async #withdraw(tx: Transaction, append: Append, type: ResourceType, resource: Resource): Promise<Resource> {
    if (resource.state === 'Deleting') return resource;
    const { clock, ids } = this.#parts;
    const changedAtMicros = clock.nowMicros();
    const leaving: Resource = { ...resource, state: 'Deleting', etag: ids.guid(), changedAtMicros };
    await updateResource(tx, leaving);
    await type.withdraw?.({ tx, append }, leaving);
    if (type.clear !== undefined) tellResource(append, 'resource.deleting', leaving);
    return leaving;
  }

  /** Deletes the rows of a resource and of what is left below it: locks and other small things. */
  async #forgetTree(tx: Transaction, append: Append, resource: Resource): Promise<void> {
    const below = () => listBelow(tx, resource.tenantUid, resource.id, slice);
    for (let children = await below(); children.length > 0; children = await below()) {
      for (const child of children) await this.#forgetTree(tx, append, { ...child, changedBy: resource.changedBy });
    }
    await this.#typeOf(resource).forget?.({ tx, append }, resource);
    await deleteResource(tx, resource.uid);
    const nowMicros = this.#parts.clock.nowMicros();
    await endOperations(tx, resource.uid, { nowMicros });
    tellResource(append, 'resource.deleted', { ...resource, state: 'Deleting', changedAtMicros: nowMicros });
  }

  #typeOf({ type }: Resource): ResourceType {
    const found = this.#parts.types.find(type);
    if (found === undefined) throw new Error(`no type ${type}, of which there is a resource`);
    return found;
  }
}
