import type { Author, Resource, ResourceHead } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmType } from './arm-type.ts';

/** A resource as its own address shows it. */
export function resourceView(type: ArmType, resource: Resource, apiVersion: string): JsonObject {
  return {
    ...head(resource),
    properties: type.properties(resource, apiVersion),
    ...(type.hasSystemData ? { systemData: systemData(resource) } : {}),
  };
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
