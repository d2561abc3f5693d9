import { isJsonObject, type Json, type JsonObject } from '../../wire/arm/json.ts';
import { isJsonList } from './arguments.ts';
import { isExpression } from './expression.ts';
import { isSame } from './list-functions.ts';

/** What a deployment would do to one resource. Source: Azure Resource Manager, "Deployments - What If". */
export type ResourceChange = {
  readonly resourceId: string;
  /** `Deploy`: it would be written, but what is in it is known only then. */
  readonly changeType: 'Create' | 'Modify' | 'NoChange' | 'Deploy' | 'Ignore' | 'Delete';
  readonly before?: JsonObject;
  readonly after?: JsonObject;
  readonly delta?: readonly PropertyChange[];
};

export type PropertyChange = {
  readonly path: string;
  readonly propertyChangeType: 'Create' | 'Delete' | 'Modify' | 'Array';
  readonly before?: Json;
  readonly after?: Json;
  readonly children?: readonly PropertyChange[];
};

/** Members that the server writes and nobody asks for. */
const written = ['systemData', 'etag', 'provisioningState', 'creationDate', 'lastUpdatedTime'];

/** A resource as people compare it: without what the server alone decides. */
export function comparable(value: JsonObject): JsonObject {
  const kept = Object.entries(value).filter(([name]) => !written.includes(name));
  return Object.fromEntries(kept.map(([name, each]) => [name, isJsonObject(each) ? comparable(each) : each]));
}

/** Whether some text in it is an expression that only the deployment can compute. */
export function isOpen(value: Json): boolean {
  if (typeof value === 'string') return isExpression(value);
  if (isJsonList(value)) return value.some(isOpen);
  return isJsonObject(value) && Object.values(value).some(isOpen);
}

/** Every member in which two resources differ, by its path. */
export function deltaOf(before: JsonObject, after: JsonObject, prefix = ''): PropertyChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.flatMap((name) => memberDelta(`${prefix}${name}`, before[name], after[name]));
}

function memberDelta(path: string, before: Json | undefined, after: Json | undefined): PropertyChange[] {
  if (before === undefined && after === undefined) return [];
  if (before === undefined || before === null)
    return isSame(before ?? null, after ?? null) ? [] : [{ path, propertyChangeType: 'Create', after: after ?? null }];
  if (after === undefined || after === null) return [{ path, propertyChangeType: 'Delete', before }];
  if (isSame(before, after)) return [];
  if (isJsonObject(before) && isJsonObject(after)) return deltaOf(before, after, `${path}.`);
  if (isJsonList(before) && isJsonList(after))
    return [{ path, propertyChangeType: 'Array', children: elementDeltas(before, after) }];
  return [{ path, propertyChangeType: 'Modify', before, after }];
}

/** Elements have no names: one that is in both lists is the same, whatever its place. */
function elementDeltas(before: readonly Json[], after: readonly Json[]): PropertyChange[] {
  const gone = before.filter((each) => !after.some((other) => isSame(each, other)));
  const added = after.filter((each) => !before.some((other) => isSame(each, other)));
  return [
    ...gone.map(
      (each): PropertyChange => ({ path: String(before.indexOf(each)), propertyChangeType: 'Delete', before: each }),
    ),
    ...added.map(
      (each): PropertyChange => ({ path: String(after.indexOf(each)), propertyChangeType: 'Create', after: each }),
    ),
  ];
}
