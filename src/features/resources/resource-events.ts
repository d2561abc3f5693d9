import { type Append, tenantStreamOf } from '../../platform/journal/journal.ts';
import type { Resource } from './resource.ts';

/** Tells the tenant's journal of a resource as it then is. */
export function tellResource(
  append: Append,
  type: 'resource.created' | 'resource.updated' | 'resource.deleting' | 'resource.deleted',
  resource: Resource,
): void {
  append({
    stream: tenantStreamOf(resource.tenantUid),
    type,
    version: 1,
    actor: resource.changedBy.uid,
    data: stateOf(resource),
  });
}

/** JSON has no undefined: what a resource does not have is null. */
function stateOf(resource: Resource): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(resource).map(([name, value]) => [name, value ?? null]));
}
