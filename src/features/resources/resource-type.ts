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
