import { isJsonObject, type Json, type JsonObject, mergeJson } from '../../../wire/arm/json.ts';
import { fewRegistries, isOfFew } from '../../../wire/builds/run-request.ts';
import { parseProperties } from '../../resources/parse-properties.ts';
import { refuse } from '../../resources/refuse.ts';
import type { Desired, Resource } from '../../resources/resource.ts';
import type { Validation } from '../../resources/resource-type.ts';
import { vaultFault } from '../custom-registry.ts';
import { patchedIdentity } from './patched-identity.ts';
import { contextOf, type StoredTask, storedTaskOf, storedTaskSchema, tidy } from './task.ts';
import { nextOccurrence, parseTimerSchedule, ScheduleError } from './timer-schedule.ts';

/** Lists whose members are told apart, and merged, by their names. Source: az wire document, 2.21. */
const namedLists = [
  ['trigger', 'timerTriggers'],
  ['trigger', 'sourceTriggers'],
  ['step', 'arguments'],
  ['step', 'values'],
] as const;

/** Throws `resourceNameInvalid`. */
export function checkTaskName(name: string): void {
  if (/^[A-Za-z0-9_-]{5,50}$/.test(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The task name '${name.slice(0, 100)}' is invalid: use 5 to 50 letters, digits, '-' and '_'.`,
    target: 'name',
  });
}

/**
 * Checks what a request says of a task and fills in defaults; secrets stay in plain text until they are settled
 * (`sealSecrets`). Throws `resourceInvalid`.
 */
export function validateTask({ desired, existing }: Validation): Desired {
  const isMerge = isPatch(desired.properties, existing);
  const wanted =
    isMerge && existing !== undefined ? mergeNamed(desired.properties, existing.properties) : desired.properties;
  const task = parseProperties(storedTaskSchema, wanted, 'properties');
  refuseNoStep(task);
  refuseTimers(task);
  refuseSources(task);
  refuseVaults(task);
  refuseRegistries(task, existing);
  refuseLogTemplate(task);
  const { sealed = null } = isMerge ? wanted : {};
  const identity = isMerge ? patchedIdentity(desired.identity, existing?.identity) : desired.identity;
  return { ...desired, sku: undefined, identity, properties: tidy({ ...task, sealed }) };
}

/** A PATCH brings along what is stored; nobody outside has seen `sealed`. */
export function isPatch({ sealed }: JsonObject, existing: Resource | undefined): boolean {
  return typeof sealed === 'string' && existing?.properties.sealed === sealed;
}

/** What a merge made of whole lists is made again, member by member. */
function mergeNamed(merged: JsonObject, before: JsonObject): JsonObject {
  let result = merged;
  for (const [part, list] of namedLists) {
    const [now, then] = [memberOf(merged, part, list), memberOf(before, part, list)];
    if (now !== undefined && then !== undefined)
      result = mergeJson(result, { [part]: { [list]: mergeLists(then, now) } });
  }
  return result;
}

function memberOf(properties: JsonObject, part: string, list: string): readonly Json[] | undefined {
  const value = properties[part];
  const found = isJsonObject(value) ? value[list] : undefined;
  return Array.isArray(found) ? found : undefined;
}

function mergeLists(before: readonly Json[], patch: readonly Json[]): readonly Json[] {
  const merged = new Map(before.filter(isJsonObject).map((each) => [keyOf(each), each]));
  for (const each of patch)
    if (isJsonObject(each)) merged.set(keyOf(each), mergeJson(merged.get(keyOf(each)) ?? {}, each));
  return [...merged.values()];
}

function keyOf({ name }: JsonObject): string {
  return typeof name === 'string' ? name.toLowerCase() : '';
}

function refuseNoStep({ step, isSystemTask }: StoredTask): void {
  if (isSystemTask || step) return;
  throw invalid('properties.step', 'A task needs a step of type Docker, FileTask or EncodedTask.');
}

function refuseTimers({ trigger }: StoredTask): void {
  const timers = trigger?.timerTriggers ?? [];
  refuseTwice(
    timers.map(({ name }) => name.toLowerCase()),
    'properties.trigger.timerTriggers',
    'names',
  );
  const schedules = timers.map(({ schedule }) => schedule.trim().split(/\s+/).join(' ').toLowerCase());
  refuseTwice(schedules, 'properties.trigger.timerTriggers', 'schedules');
  for (const { name, schedule } of timers) refuseSchedule(name, schedule);
}

function refuseSchedule(name: string, schedule: string): void {
  const target = 'properties.trigger.timerTriggers.schedule';
  try {
    if (nextOccurrence(parseTimerSchedule(schedule), 0) !== undefined) return;
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    throw invalid(target, `The schedule of the timer '${name}' is not valid: ${error.message}.`);
  }
  throw invalid(target, `The schedule '${schedule}' of the timer '${name}' never comes: no month has that day.`);
}

function refuseSources(task: StoredTask): void {
  const sources = task.trigger?.sourceTriggers ?? [];
  const target = 'properties.trigger.sourceTriggers';
  refuseTwice(
    sources.map(({ name }) => name.toLowerCase()),
    target,
    'names',
  );
  const context = contextOf(task);
  if (sources.length > 0 && (context === undefined || context.toLowerCase().startsWith('oci://')))
    throw invalid(target, 'A task is started by commits and pull requests only where its context is a git repository.');
}

function refuseVaults({ credentials }: StoredTask): void {
  for (const [server, written] of Object.entries(credentials?.customRegistries ?? {})) {
    const fault = vaultFault(server, written);
    if (fault !== undefined) throw invalid('properties.credentials.customRegistries', fault);
  }
}

/** A task that was stored with more, before there was a limit, may keep them, or some of them. */
function refuseRegistries(task: StoredTask, existing: Resource | undefined): void {
  const registries = registriesOf(task);
  const before = existing === undefined ? {} : registriesOf(storedTaskOf(existing));
  if (isOfFew(registries) || Object.keys(registries).length <= Object.keys(before).length) return;
  throw invalid('properties.credentials.customRegistries', `There are too many: ${fewRegistries}.`);
}

function registriesOf({ credentials }: StoredTask): object {
  return credentials?.customRegistries ?? {};
}

function refuseLogTemplate({ logTemplate }: StoredTask): void {
  if (!logTemplate) return;
  throw invalid(
    'properties.logTemplate',
    'Logs are kept with their runs here, not as artifacts of a repository: leave the log template out.',
  );
}

function refuseTwice(keys: readonly string[], target: string, what: string): void {
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice === undefined) return;
  throw invalid(target, `The ${what} of triggers have to differ: '${twice}' is there twice.`);
}

function invalid(target: string, message: string) {
  return refuse('resourceInvalid', { message, target });
}
