/** Notes of the inventory in a store begin so. */
export const inventoryPrefix = 'inventory.';

/**
 * One note: a part of what was said at one moment of a registry's stream. `whole` names everything in the registry, `changes` what
 * was touched since the note before. What is said was read when the event `seq` was there already.
 */
export type InventoryNote = {
  readonly registryUid: string;
  readonly incarnation: string;
  readonly kind: 'whole' | 'changes';
  readonly seq: number;
  /** From 0. */
  readonly part: number;
  readonly isLast: boolean;
};

/** `inventory.<registry>.<incarnation>.<kind>.<seq>.<part>`, and `.end` behind the last part. */
export function inventoryName(note: InventoryNote): string {
  const { registryUid, incarnation, kind, seq, part, isLast } = note;
  return `${inventoryPrefix}${registryUid}.${incarnation}.${kind}.${seq}.${part}${isLast ? '.end' : ''}`;
}

const pattern = /^inventory\.([a-z0-9]+)\.([a-z0-9]+)\.(whole|changes)\.(\d+)\.(\d+)(\.end)?$/;

/** Undefined for other notes. */
export function parseInventoryName(name: string): InventoryNote | undefined {
  const [, registryUid, incarnation, kind, seq, part, end] = pattern.exec(name) ?? [];
  if (registryUid === undefined || incarnation === undefined || (kind !== 'whole' && kind !== 'changes'))
    return undefined;
  return { registryUid, incarnation, kind, seq: Number(seq), part: Number(part), isLast: end !== undefined };
}
