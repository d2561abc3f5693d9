import type { Transaction } from '../../platform/database/database.ts';
import type { JobRun } from '../../platform/jobs/jobs.ts';
import type { Append } from '../../platform/journal/journal.ts';
import type { Author, Desired, Resource, ResourceName } from './resource.ts';

export type Validation = {
  readonly name: ResourceName;
  /** After merging, for a PATCH. */
  readonly desired: Desired;
  /** As it stands; undefined for a new one. */
  readonly existing: Resource | undefined;
};

export type Change = {
  readonly resource: Resource;
  /** As it stood; undefined for a new one. */
  readonly previous: Resource | undefined;
  readonly author: Author;
};

/** The transaction that writes a resource. */
export type Writing = { readonly tx: Transaction; readonly append: Append };

/** One run of the long part of a write. */
export type ConvergeRun = Pick<JobRun, 'attempt' | 'signal'> & {
  /** Keeps the run's lease; throws when the resource was written or withdrawn since: then there is nothing more to do. */
  readonly renew: () => Promise<void>;
  /**
   * Writes how far it is: `step` runs in a transaction in which nobody else changes the resource, and gives the properties
   * that it then has. Throws as `renew`.
   */
  readonly write: (step: (writing: Writing, resource: Resource) => Promise<Resource['properties']>) => Promise<void>;
};

/**
 * The long part of creating or changing a resource, as a job: the resource is `Creating` or `Updating` until it ends. A
 * write meanwhile is taken, and the next run sees its state; two runs for one resource never overlap, and `clear` begins
 * only after the last.
 */
export type Converge = {
  /** Whether a write has a long part; asked in its transaction. One that follows an unfinished or failed one always has. */
  readonly isNeeded: (change: Change) => boolean;
  /** Runs again from the start after a crash. A BerthError below 500 ends it as `Failed` and is shown; anything else is tried again. */
  readonly run: (resource: Resource, run: ConvergeRun) => Promise<void>;
};

/**
 * One type of resource: what is true of it alone. The engine does the rest once for all types (house plan, idea 6).
 * Implementations are one file each of `api/arm`.
 */
export type ResourceType = {
  /** `Microsoft.ContainerRegistry/registries`. */
  readonly type: string;
  /** `group`: inside a resource group; `subscription`: right below one; `child`: inside another resource; `extension`: attached to anything. */
  readonly level: 'group' | 'subscription' | 'child' | 'extension';
  readonly hasLocation: boolean;
  /** Throws `resourceNameInvalid`, `registryNameInvalid`. */
  readonly checkName: (name: string) => void;
  /** Fills in defaults, refuses what is wrong; pure. Throws `resourceInvalid`, `skuTooSmall`, ... */
  readonly validate: (validation: Validation) => Desired;
  /** Looks for what only the database knows, and settles the last of what is stored. */
  readonly settle?: (tx: Transaction, change: Change) => Promise<Desired>;
  /** Brings derived rows in line, in the transaction that writes the resource. */
  readonly apply?: (writing: Writing, change: Change) => Promise<void>;
  /** Awaited after the commit of a write and before its answer: when it resolves, what was written holds everywhere. */
  readonly afterwards?: (written: Resource) => Promise<void>;
  readonly converge?: Converge;
  /** Throws when this resource has to stay; asked of everything in a group that is to go. */
  readonly refuseRemoval?: (resource: Resource) => void;
  /** Begins removal: from its transaction on nobody can use the resource. */
  readonly withdraw?: (writing: Writing, resource: Resource) => Promise<void>;
  /** The long part of removal, after `withdraw`: runs until nothing hangs on the resource, again after a crash. */
  readonly clear?: (resource: Resource, job: Pick<JobRun, 'signal' | 'renew'>) => Promise<void>;
  /** Removes the last derived rows, in the transaction that deletes the resource. */
  readonly forget?: (writing: Writing, resource: Resource) => Promise<void>;
};

/** Types by their lower-cased names. */
export type ResourceTypes<Type extends ResourceType = ResourceType> = {
  readonly find: (type: string) => Type | undefined;
  readonly list: readonly Type[];
};

export function resourceTypes<Type extends ResourceType>(list: readonly Type[]): ResourceTypes<Type> {
  const byKey = new Map(list.map((each) => [each.type.toLowerCase(), each]));
  return { find: (type) => byKey.get(type.toLowerCase()), list };
}
