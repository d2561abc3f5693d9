import { z } from 'zod';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { JobKind, JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import type { Log } from '../../platform/log.ts';
import type { ArmErrorBody } from '../../wire/arm/error-schema.ts';
import { endOperations, insertOperation } from './operation-store.ts';
import { isConverging, type ProvisioningState, type Resource } from './resource.ts';
import { tellResource } from './resource-events.ts';
import { findByUid, findForUpdate, updateResource } from './resource-store.ts';
import type { Change, ConvergeRun, ResourceType, ResourceTypes } from './resource-type.ts';

export type ConvergenceParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  readonly types: ResourceTypes;
  /** As whoever asked for the resource reads it. */
  readonly errorOf: (error: BerthError) => ArmErrorBody['error'];
};

const jobKind = 'resources.converge';
const jobPayload = z.object({ uid: z.string() });
const leaseMs = 30_000;
/** After so many runs that failed or were cut off the resource is `Failed`. */
const attemptsUntilFailed = 5;
/** The job itself is never given up: it always ends by writing how the resource stands. */
const maxAttempts = 100_000;

/** The resource is not any more what a run began with: a newer run, or its deletion, does the rest. */
class Outdated extends Error {}

/** How a resource stands after a write. */
export function stateOf({ converge }: ResourceType, change: Change): ProvisioningState {
  const { previous } = change;
  const isUnfinished = previous !== undefined && previous.state !== 'Succeeded';
  if (converge === undefined || !(isUnfinished || converge.isNeeded(change))) return 'Succeeded';
  return previous === undefined || previous.state === 'Creating' ? 'Creating' : 'Updating';
}

/** Plans the long part of a write in its transaction; nothing when there is none. */
export async function beginConvergence(
  { clock, ids, jobs }: { readonly clock: Clock; readonly ids: Ids; readonly jobs: Pick<Jobs, 'add'> },
  tx: Transaction,
  resource: Resource,
): Promise<{ readonly operationUid?: string }> {
  if (!isConverging(resource)) return {};
  const { uid: resourceUid, id: resourceId, tenantUid } = resource;
  const operationUid = ids.uid();
  await insertOperation(tx, { uid: operationUid, tenantUid, resourceUid, resourceId, nowMicros: clock.nowMicros() });
  await jobs.add(tx, { kind: jobKind, key: resourceUid, payload: { uid: resourceUid } });
  return { operationUid };
}

/** Whether some process is at work on the long part of a resource, or died at it. */
export async function isConvergenceRunning(queries: Queries, resourceUid: string): Promise<boolean> {
  const running = await queries
    .selectFrom('jobs')
    .select('uid')
    .where('kind', '=', jobKind)
    .where('key', '=', resourceUid)
    .where('state', '=', 'running')
    .executeTakeFirst();
  return running !== undefined;
}

/** The background work of types whose writes have a long part. */
export function convergenceJob(parts: ConvergenceParts): JobKind {
  return { kind: jobKind, run: (job) => converge(parts, job), leaseMs, maxAttempts };
}

async function converge(parts: ConvergenceParts, job: JobRun): Promise<void> {
  const { uid } = jobPayload.parse(job.payload);
  const resource = await findByUid(parts.database.read, uid);
  if (resource === undefined || !isConverging(resource)) return;
  const run = new Run(parts, job, resource);
  try {
    if (job.attempt > attemptsUntilFailed) throw new Error('the server ended in every run');
    await parts.types.find(resource.type)?.converge?.run(resource, run);
    await run.end();
  } catch (error) {
    if (error instanceof Outdated) return;
    if (job.signal.aborted || !(isFinal(error) || job.attempt >= attemptsUntilFailed)) throw error;
    await fail(parts, run, resource, error);
  }
}

/** The caller's own mistakes do not get better by another try. */
function isFinal(error: unknown): error is BerthError {
  return error instanceof BerthError && errorCatalogue[error.error].status < 500;
}

async function fail({ errorOf, log }: ConvergenceParts, run: Run, { id }: Resource, error: unknown): Promise<void> {
  if (isFinal(error)) return await run.tryEnd(errorOf(error));
  log.error('creation or change of a resource fails', { resourceId: id, error });
  const message = `The server failed while it brought '${id}' about. Send the same request again, or delete it.`;
  await run.tryEnd({ code: 'InternalServerError', message });
}

class Run implements ConvergeRun {
  readonly attempt: number;
  readonly signal: AbortSignal;
  readonly #parts: ConvergenceParts;
  readonly #job: JobRun;
  /** As this run wrote it last. */
  #resource: Resource;

  constructor(parts: ConvergenceParts, job: JobRun, resource: Resource) {
    this.attempt = job.attempt;
    this.signal = job.signal;
    this.#parts = parts;
    this.#job = job;
    this.#resource = resource;
  }

  readonly renew: ConvergeRun['renew'] = async () => {
    await this.#job.renew();
    const current = await findByUid(this.#parts.database.read, this.#resource.uid);
    if (current?.etag !== this.#resource.etag) throw new Outdated();
  };

  readonly write: ConvergeRun['write'] = async (step) => {
    this.signal.throwIfAborted();
    this.#resource = await this.#change(async (writing, resource) => ({
      ...resource,
      properties: await step(writing, resource),
    }));
  };

  /** Without an error it succeeded. */
  async end(error?: ArmErrorBody['error']): Promise<void> {
    await this.#change(async ({ tx }, resource) => {
      const end = error === undefined ? {} : { error };
      await endOperations(tx, resource.uid, { ...end, nowMicros: this.#parts.clock.nowMicros() });
      return { ...resource, state: error === undefined ? 'Succeeded' : 'Failed' };
    });
  }

  /** Nothing when a newer write took over. */
  async tryEnd(error: ArmErrorBody['error']): Promise<void> {
    try {
      await this.end(error);
    } catch (outdated) {
      if (!(outdated instanceof Outdated)) throw outdated;
    }
  }

  async #change(
    next: (writing: Parameters<Parameters<ConvergeRun['write']>[0]>[0], resource: Resource) => Promise<Resource>,
  ): Promise<Resource> {
    const { database, journal, clock, ids } = this.#parts;
    const { tenantUid, id, etag } = this.#resource;
    return await journal.transaction(async (tx, append) => {
      const current = await findForUpdate(database.kind, tx, tenantUid, id);
      if (current?.etag !== etag) throw new Outdated();
      const stamp = { etag: ids.guid(), changedAtMicros: clock.nowMicros() };
      const changed: Resource = { ...(await next({ tx, append }, current)), ...stamp };
      await updateResource(tx, changed);
      tellResource(append, 'resource.updated', changed);
      return changed;
    });
  }
}
