import type { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Jobs } from '../../platform/jobs/jobs.ts';
import { canonicalJson } from '../../platform/journal/canonical-json.ts';
import type { Append, Journal } from '../../platform/journal/journal.ts';
import { beginConvergence, stateOf } from './convergence.ts';
import { refuseLocked } from './locks.ts';
import { activeOperation } from './operation-store.ts';
import { refuse } from './refuse.ts';
import { type Author, type Desired, idKey, isConverging, type Resource, type ResourceName } from './resource.ts';
import { tellResource } from './resource-events.ts';
import { findForShare, findForUpdate, insertResource, updateResource } from './resource-store.ts';
import type { Change, ResourceType } from './resource-type.ts';

export type ResourcesParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly tenantUid: string;
  readonly jobs: Pick<Jobs, 'add'>;
};

/** What the request's headers ask for before anything is written. Source: RFC 9110, sections 13.1.1 and 13.1.2. */
export type Preconditions = {
  /** An etag, or `*` for any version. */
  readonly ifMatch?: string;
  /** `*`: only when there is none yet. */
  readonly ifNoneMatch?: string;
};

export type WriteRequest = Preconditions & {
  readonly type: ResourceType;
  readonly name: ResourceName;
  /** Makes the wanted state of the one that stands; undefined when there is none. May refuse. */
  readonly desire: (existing: Resource | undefined) => Desired;
  readonly author: Author;
};

export type Written = {
  readonly resource: Resource;
  readonly isNew: boolean;
  /** Set when the write goes on as a job: where its end is told. */
  readonly operationUid?: string;
};

/** Writes resources of every type: the one place that creates and changes them (house plan, idea 6). */
export class Resources {
  readonly #parts: ResourcesParts;

  constructor(parts: ResourcesParts) {
    this.#parts = parts;
  }

  /**
   * Creates or changes. A request that changes nothing writes nothing. Throws `resourceGroupUnknown`, `resourceUnknown` (no
   * parent), `resourceLeaving`, `scopeLocked`, `preconditionFailed`, and what the type refuses.
   */
  async write(request: WriteRequest): Promise<Written> {
    const { journal } = this.#parts;
    const written = await journal.transaction(async (tx, append) => await this.writeIn(tx, append, request));
    await request.type.afterwards?.(written.resource);
    return written;
  }

  /** `write` inside the caller's transaction. */
  async writeIn(tx: Transaction, append: Append, request: WriteRequest): Promise<Written> {
    const { tenantUid } = this.#parts;
    const { kind } = this.#parts.database;
    const name = await this.#placed(tx, request.name);
    await refuseLocked(tx, tenantUid, name, 'write');
    const existing = await findForUpdate(kind, tx, tenantUid, name.id);
    if (existing !== undefined) return await this.#change(tx, append, request, existing);
    const created = await this.#create(tx, append, request, name);
    if (created !== undefined) return created;
    // Another writer was faster: theirs is the one to change.
    const theirs = await findForUpdate(kind, tx, tenantUid, name.id);
    if (theirs === undefined) throw refuse('resourceLeaving', { message: `'${name.id}' is being made and deleted.` });
    return await this.#change(tx, append, request, theirs);
  }

  async #create(
    tx: Transaction,
    append: Append,
    request: WriteRequest,
    name: ResourceName,
  ): Promise<Written | undefined> {
    const { type, author } = request;
    const { clock, ids, tenantUid } = this.#parts;
    refuseUnmatched(request, undefined);
    type.checkName(name.name);
    const desired = type.validate({ name, desired: request.desire(undefined), existing: undefined });
    const nowMicros = clock.nowMicros();
    const draft: Resource = {
      ...name,
      ...desired,
      uid: ids.uid(),
      tenantUid,
      state: 'Succeeded',
      etag: ids.guid(),
      createdAtMicros: nowMicros,
      createdBy: author,
      changedAtMicros: nowMicros,
      changedBy: author,
    };
    const resource = await settled(tx, type, { resource: draft, previous: undefined, author });
    if (!(await insertResource(tx, resource))) return undefined;
    await type.apply?.({ tx, append }, { resource, previous: undefined, author });
    tellResource(append, 'resource.created', resource);
    return { resource, isNew: true, ...(await beginConvergence(this.#parts, tx, resource)) };
  }

  async #change(tx: Transaction, append: Append, request: WriteRequest, existing: Resource): Promise<Written> {
    const { type, author } = request;
    refuseLeaving(existing);
    refuseUnmatched(request, existing);
    const desired = type.validate({ name: existing, desired: request.desire(existing), existing });
    const nowMicros = this.#parts.clock.nowMicros();
    const changed = { etag: this.#parts.ids.guid(), changedAtMicros: nowMicros, changedBy: author };
    const draft: Resource = { ...existing, ...desired, ...changed };
    const resource = await settled(tx, type, { resource: draft, previous: existing, author });
    if (existing.state !== 'Failed' && wantsSame(resource, existing)) return await unchanged(tx, existing);
    await updateResource(tx, resource);
    await type.apply?.({ tx, append }, { resource, previous: existing, author });
    tellResource(append, 'resource.updated', resource);
    return { resource, isNew: false, ...(await beginConvergence(this.#parts, tx, resource)) };
  }

  /** The name as its parent spells it; the parent stays until the transaction ends. */
  async #placed(tx: Transaction, name: ResourceName): Promise<ResourceName> {
    const { database, tenantUid } = this.#parts;
    if (idKey(name.parentId) === `/subscriptions/${name.subscriptionId.toLowerCase()}`) return name;
    const parent = await findForShare(database.kind, tx, tenantUid, name.parentId);
    if (parent === undefined) throw missing(name.parentId);
    refuseLeaving(parent);
    const id = parent.id + name.id.slice(name.parentId.length);
    return { ...name, id, parentId: parent.id, groupName: parent.groupName };
  }
}

/** A parent or resource that is not there, in the words people know. */
export function missing(id: string): BerthError {
  const [, , subscriptionId = '', , group = '', , ...rest] = id.split('/');
  if (group === '')
    return refuse('subscriptionUnknown', { message: `The subscription '${subscriptionId}' could not be found.` });
  if (rest.length === 0)
    return refuse('resourceGroupUnknown', { message: `Resource group '${group}' could not be found.` });
  return refuse('resourceUnknown', {
    message: `The Resource '${rest.join('/')}' under resource group '${group}' was not found.`,
    target: id,
  });
}

export function refuseLeaving(resource: Resource): void {
  if (resource.state !== 'Deleting') return;
  throw refuse('resourceLeaving', {
    message: `'${resource.id}' is being deleted. Wait for the end of the deletion, then try again.`,
    target: resource.id,
  });
}

/** Throws `preconditionFailed`. */
export function refuseUnmatched({ ifMatch, ifNoneMatch }: Preconditions, existing: Resource | undefined): void {
  const isMatched =
    ifMatch === undefined || (existing !== undefined && (ifMatch === '*' || tagsOf(ifMatch).includes(existing.etag)));
  const isFree =
    ifNoneMatch === undefined ||
    existing === undefined ||
    !(ifNoneMatch === '*' || tagsOf(ifNoneMatch).includes(existing.etag));
  if (isMatched && isFree) return;
  throw refuse('preconditionFailed', {
    message:
      existing === undefined
        ? 'The resource does not exist, so it is in none of the versions that If-Match names.'
        : `The resource is in version "${existing.etag}", which the request's If-Match or If-None-Match excludes.`,
  });
}

function tagsOf(header: string): string[] {
  return header.split(',').map((each) => each.trim().replace(/^(W\/)?"(.*)"$/, '$2'));
}

async function settled(tx: Transaction, type: ResourceType, change: Change): Promise<Resource> {
  const desired = type.settle === undefined ? change.resource : await type.settle(tx, change);
  const resource = { ...change.resource, ...desired };
  return { ...resource, state: stateOf(type, { ...change, resource }) };
}

/** Nothing to write; a long part that is under way goes on. */
async function unchanged(tx: Transaction, resource: Resource): Promise<Written> {
  const operationUid = isConverging(resource) ? await activeOperation(tx, resource.uid) : undefined;
  return { resource, isNew: false, ...(operationUid === undefined ? {} : { operationUid }) };
}

function wantsSame(a: Desired, b: Desired): boolean {
  return canonicalJson(desiredOf(a)) === canonicalJson(desiredOf(b));
}

function desiredOf({ location, tags, sku, identity, properties }: Desired) {
  return { location: location ?? null, tags, sku: sku ?? null, identity: identity ?? null, properties };
}
