import type { Author, Resource, ResourceHead } from '../../features/resources/resource.ts';
import { type JsonObject, mergeJson } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';

/** A resource as its own address shows it. */
export function resourceView(type: ArmType, resource: Resource, apiVersion: string): JsonObject {
  return {
    ...head(resource),
    properties: type.properties(resource, apiVersion),
    ...(type.hasSystemData ? { systemData: systemData(resource) } : {}),
  };
}

/** Each as its own address shows it, with what other tables hold. */
export async function fullViews(
  type: ArmType,
  resources: readonly Resource[],
  apiVersion: string,
): Promise<JsonObject[]> {
  const derived = await type.derived?.(resources);
  return resources.map((each) => {
    const view = resourceView(type, each, apiVersion);
    const more = derived?.get(each.uid);
    return more === undefined ? view : mergeJson(view, { properties: more });
  });
}

/** A resource in the list of all resources: without its properties. */
export function genericView(resource: ResourceHead): JsonObject {
  return head(resource);
}

export function isoTime(micros: number): string {
  return new Date(micros / 1_000).toISOString();
}

function head({ id, name, type, location, tags, sku, identity }: ResourceHead): JsonObject {
  return {
    id,
    name,
    type,
    ...(location === undefined ? {} : { location, tags }),
    ...(sku === undefined ? {} : { sku: { ...sku, tier: sku.name ?? null } }),
    ...(identity === undefined ? {} : { identity }),
  };
}

/** Source: Azure resource provider contract, "systemData". */
function systemData(resource: Resource): JsonObject {
  return {
    ...stamp('created', 'createdAt', resource.createdBy, resource.createdAtMicros),
    ...stamp('lastModified', 'lastModifiedAt', resource.changedBy, resource.changedAtMicros),
  };
}

function stamp(verb: string, at: string, by: Author, micros: number): JsonObject {
  return { [`${verb}By`]: by.name, [`${verb}ByType`]: by.kind, [at]: isoTime(micros) };
}
