import { z } from 'zod';
import { isJsonObject, type Json, type JsonObject } from '../../../wire/arm/json.ts';
import { type TaskProperties, taskPropertiesSchema } from '../../../wire/arm/task-schema.ts';
import { plainJson } from '../../registries/registry-rules.ts';
import type { Author, Resource } from '../../resources/resource.ts';

export const taskType = 'Microsoft.ContainerRegistry/registries/tasks';

/** `properties` of a task as they are stored: everything but its secrets, which are in `sealed`. */
export const storedTaskSchema = taskPropertiesSchema;
export type StoredTask = TaskProperties;

export function storedTaskOf({ properties }: Pick<Resource, 'properties'>): StoredTask {
  return storedTaskSchema.parse(properties);
}

const authorSchema = z.object({ uid: z.string(), name: z.string(), kind: z.enum(['User', 'Application']) });

/** Who lends a stored task their rights. It is kept beside `sealed`, and shown to nobody. */
export function stepAuthorOf({ properties, changedBy }: Pick<Resource, 'properties' | 'changedBy'>): Author {
  const { stepAuthor } = properties;
  return stepAuthor === undefined ? changedBy : authorSchema.parse(stepAuthor);
}

/** Whether its triggers queue runs. */
export function isEnabled({ status }: Pick<StoredTask, 'status'>): boolean {
  return status === 'Enabled';
}

/** Where the files of a task come from, as it was typed; undefined where it has none. */
export function contextOf({ step }: Pick<StoredTask, 'step'>): string | undefined {
  const path = step?.contextPath ?? undefined;
  return path === undefined || path === '' || path === '/dev/null' ? undefined : path;
}

/** What is behind the `#` of a git address: `ref:folder`, both optional. */
export function refOf(context: string): string | undefined {
  const [ref] = (context.split('#')[1] ?? '').split(':');
  return ref === '' ? undefined : ref;
}

/** Whether two addresses are of one server, so that a secret for the one may be sent to the other. */
export function isSameOrigin(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a === b || (originOf(a) !== undefined && originOf(a) === originOf(b));
}

/** Undefined where it says nothing: all addresses of schemes such as `oci` have the same one. */
function originOf(address: string): string | undefined {
  const origin = urlOf(address)?.origin;
  return origin === 'null' ? undefined : origin;
}

/** Agents read addresses of GitHub without a scheme too. */
function urlOf(address: string): URL | null {
  return URL.parse(/^github\.com\//i.test(address) ? `https://${address}` : address);
}

/**
 * Whether an address names other files of the repository of `own`: a branch or a tag, which only those make who may push there.
 * One server has the repositories of many; and below the address of a repository, hosts hand out what strangers offer to it:
 * pull requests by their references, and commits of its forks.
 */
export function isOfSameRepository(own: string | undefined, address: string | undefined): boolean {
  if (!isSameOrigin(own, address) || own === undefined || address === undefined) return false;
  return repositoryPathOf(own) === repositoryPathOf(address) && isBranchOrTag(refOf(address));
}

function repositoryPathOf(address: string): string | undefined {
  const url = urlOf(address);
  return url === null ? undefined : `${url.pathname.replace(/\/+$/, '').replace(/\.git$/, '')}${url.search}`;
}

/** Git looks for a name with slashes below `refs/` too: such a branch is named in full. Undefined is the default branch. */
function isBranchOrTag(ref: string | undefined): boolean {
  if (ref === undefined || /^refs\/(?:heads|tags)\//.test(ref)) return true;
  return !ref.includes('/') && !/^[0-9a-f]{40,64}$/i.test(ref);
}

/** Plain JSON; what has no value is left out. */
export function tidy(value: object): JsonObject {
  return withoutNulls(plainJson(value));
}

function withoutNulls(value: JsonObject): JsonObject {
  const kept = Object.entries(value).filter(([, each]) => each !== null);
  return Object.fromEntries(kept.map(([name, each]): [string, Json] => [name, cleaned(each)]));
}

function cleaned(value: Json): Json {
  if (isJsonObject(value)) return withoutNulls(value);
  return Array.isArray(value) ? value.map(cleaned) : value;
}
