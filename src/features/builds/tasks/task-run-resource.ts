import type { Ids } from '../../../platform/ids.ts';
import { canonicalJson } from '../../../platform/journal/canonical-json.ts';
import type { Sealer } from '../../../platform/keys/sealer.ts';
import { isJsonObject, type Json, type JsonObject } from '../../../wire/arm/json.ts';
import { taskRunSchema } from '../../../wire/arm/task-run-schema.ts';
import { type RunRequest, runRequestSchema } from '../../../wire/builds/run-request.ts';
import { parseProperties } from '../../resources/parse-properties.ts';
import { refuse } from '../../resources/refuse.ts';
import type { Desired, Resource } from '../../resources/resource.ts';
import type { Change, Validation } from '../../resources/resource-type.ts';
import { withoutCredentials } from '../triggers/repository-path.ts';
import { tidy } from './task.ts';
import { storedOr } from './task-addresses.ts';

export const taskRunType = 'Microsoft.ContainerRegistry/registries/taskRuns';

export type TaskRunResourceParts = { readonly sealer: Sealer; readonly ids: Ids };

/** Throws `resourceNameInvalid`. */
export function checkTaskRunName(name: string): void {
  if (/^[A-Za-z0-9-]{5,50}$/.test(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The name '${name.slice(0, 100)}' of a task run is invalid: use 5 to 50 letters, digits and '-'.`,
    target: 'name',
  });
}

/** Throws `resourceInvalid`. What is stored already, and shows no secrets, is taken as it is. */
export function validateTaskRun({ desired, existing }: Validation): Desired {
  const { sealed } = desired.properties;
  const isMerge = typeof sealed === 'string' && existing?.properties.sealed === sealed;
  const isSame =
    isMerge &&
    canonicalJson(desired.properties.runRequest ?? null) === canonicalJson(existing.properties.runRequest ?? null);
  const task = parseProperties(taskRunSchema, desired.properties, 'properties');
  return {
    ...desired,
    sku: undefined,
    // Of a merge that leaves the request alone, the one that is sealed stays.
    properties: tidy({ ...task, ...(isSame ? { sealed } : {}) }),
  };
}

/**
 * Hides what is secret in the request, and says whether the run is to be made (again): each round makes one. A failed one is
 * made again when it is written again. Source: ACR tasks, 4.5.
 */
export function settleTaskRun(parts: TaskRunResourceParts, { resource, previous }: Change): JsonObject {
  const { runRequest, forceUpdateTag = null, sealed: kept } = resource.properties;
  const before = previous === undefined ? undefined : openRequest(parts, previous);
  const request =
    kept === undefined || before === undefined
      ? withAddress(runRequestSchema.parse(runRequest), (given) => storedOr(given, before && addressOf(before)))
      : before;
  const isSameRequest = before !== undefined && canonicalJson(before) === canonicalJson(request);
  const isSame =
    isSameRequest && previous?.state !== 'Failed' && (previous?.properties.forceUpdateTag ?? null) === forceUpdateTag;
  const { sealed, round, runResult } = previous?.properties ?? {};
  return tidy({
    runRequest: shownRequest(withoutSecrets(tidy(request))),
    forceUpdateTag,
    sealed: isSameRequest ? sealed : sealRequest(parts, resource.uid, request),
    ...(isSame ? { round, runResult } : { round: parts.ids.uid() }),
  });
}

/** A stored request without what people wrote into addresses: those that were written long ago have it yet. */
export function shownRequest(stored: Json): Json {
  if (!isJsonObject(stored)) return stored;
  const { overrideTaskStepProperties: step } = stored;
  return {
    ...stored,
    ...shownAddress(stored, 'sourceLocation'),
    ...(isJsonObject(step) ? { overrideTaskStepProperties: { ...step, ...shownAddress(step, 'contextPath') } } : {}),
  };
}

function shownAddress(properties: JsonObject, name: string): JsonObject {
  const given = properties[name];
  return typeof given === 'string' ? { [name]: withoutCredentials(given) } : {};
}

/** The request of a stored task run, whole. Throws SealError. */
export function openRequest(
  { sealer }: Pick<TaskRunResourceParts, 'sealer'>,
  { uid, properties }: Resource,
): RunRequest {
  const { sealed } = properties;
  if (typeof sealed !== 'string') throw new TypeError('a stored task run has a sealed request');
  return runRequestSchema.parse(JSON.parse(sealer.openText(purposeOf(uid), Buffer.from(sealed, 'base64'))));
}

/** Of the files of its run. */
function addressOf(request: RunRequest): string | undefined {
  return request.type === 'TaskRunRequest' ? request.overrideTaskStepProperties?.contextPath : request.sourceLocation;
}

function withAddress(request: RunRequest, change: (address: string) => string): RunRequest {
  const address = addressOf(request);
  if (address === undefined) return request;
  if (request.type !== 'TaskRunRequest') return { ...request, sourceLocation: change(address) };
  const { overrideTaskStepProperties: step } = request;
  return step === undefined
    ? request
    : { ...request, overrideTaskStepProperties: { ...step, contextPath: change(address) } };
}

function sealRequest({ sealer }: TaskRunResourceParts, uid: string, request: RunRequest): string {
  return Buffer.from(sealer.sealText(purposeOf(uid), JSON.stringify(request))).toString('base64');
}

function purposeOf(uid: string): string {
  return `task-run/${uid}`;
}

/** Values of secret arguments, and of credentials. */
function withoutSecrets(value: JsonObject): JsonObject {
  const isSecret = value.isSecret === true || value.type === 'Opaque';
  const kept = Object.entries(value).filter(([name]) => !(isSecret && name === 'value'));
  const hidden = kept.filter(([name]) => name !== 'customRegistries');
  const shown = hidden.map(([name, each]): [string, Json] => [name, cleaned(each)]);
  const registries = value.customRegistries;
  const servers = isJsonObject(registries) ? Object.keys(registries) : [];
  return Object.fromEntries([
    ...shown,
    ...(servers.length === 0 ? [] : [['customRegistries', Object.fromEntries(servers.map((each) => [each, {}]))]]),
  ]);
}

function cleaned(value: Json): Json {
  if (isJsonObject(value)) return withoutSecrets(value);
  return Array.isArray(value) ? value.map(cleaned) : value;
}
