import { isJsonObject, type JsonObject } from '../../../wire/arm/json.ts';

/**
 * The identity of a task after a merge. Clients that take user-assigned identities away name the kind of those alone, as if
 * the task had no other: what is left decides then. Source: az wire document, 2.21.
 */
export function patchedIdentity(
  merged: JsonObject | undefined,
  before: JsonObject | undefined,
): JsonObject | undefined {
  const [kept, had] = [assignedOf(merged), assignedOf(before)];
  const isRemoval = kept.length < had.length && kept.every((id) => had.includes(id));
  if (merged === undefined || !isRemoval || !typeOf(merged).includes('userassigned')) return merged;
  const kinds = [
    ...(typeOf(before).includes('systemassigned') ? ['SystemAssigned'] : []),
    ...(kept.length > 0 ? ['UserAssigned'] : []),
  ];
  return { ...merged, type: kinds.join(', ') || 'None' };
}

function assignedOf(identity: JsonObject | undefined): string[] {
  const assigned = identity?.userAssignedIdentities;
  return isJsonObject(assigned) ? Object.keys(assigned).map((id) => id.toLowerCase()) : [];
}

function typeOf(identity: JsonObject | undefined): string {
  return String(identity?.type ?? '').toLowerCase();
}
