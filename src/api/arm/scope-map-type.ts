import {
  checkScopeMapName,
  scopeMapType,
  systemActions,
  systemScopeMaps,
  validateScopeMap,
} from '../../features/access/scope-map.ts';
import { applyScopeMap, forgetScopeMap, withdrawScopeMap } from '../../features/access/scope-map-rows.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { childName } from '../../features/resources/resource-names.ts';
import type { Database } from '../../platform/database/database.ts';
import type { ArmType } from './arm-type.ts';
import { isoTime } from './resource-view.ts';

/** What repository tokens may do. Source: Microsoft.ContainerRegistry/registries/scopeMaps; az wire document, 2.13. */
export function scopeMapArmType({ database: { kind } }: { readonly database: Database }): ArmType {
  return {
    type: scopeMapType,
    level: 'child',
    hasLocation: false,
    hasSystemData: true,
    checkName: checkScopeMapName,
    validate: validateScopeMap,
    apply: (writing, change) => applyScopeMap(kind, writing, change),
    withdraw: ({ tx }, resource) => withdrawScopeMap(kind, tx, resource),
    forget: ({ tx }, resource) => forgetScopeMap(tx, resource),
    builtIns: systemMaps,
    properties: (resource) => ({
      description: '',
      ...resource.properties,
      type: systemActions(resource.name) === undefined ? 'UserDefined' : 'SystemDefined',
      creationDate: isoTime(resource.createdAtMicros),
      provisioningState: resource.state,
    }),
  };
}

/** As old as the registry, which nobody else made. */
function systemMaps(registry: Resource): Resource[] {
  return Object.entries(systemScopeMaps).map(([name, { description }]) => ({
    ...registry,
    ...childName(registry, scopeMapType, name),
    location: undefined,
    tags: {},
    sku: undefined,
    identity: undefined,
    properties: { description, actions: systemActions(name) ?? [] },
    changedAtMicros: registry.createdAtMicros,
    changedBy: registry.createdBy,
    etag: registry.uid,
  }));
}
