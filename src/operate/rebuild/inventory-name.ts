/** Notes of the inventory in a store begin so. */
export const inventoryPrefix = 'inventory.';

export type InventorySku = 'Basic' | 'Standard' | 'Premium';

/**
 * One note: a part of what was said at one moment of a registry's stream. `whole` names everything in the registry, `changes` what
 * was touched since the note before. What is said was read when the event `seq` was there already.
 */
export type InventoryNote = {
  readonly registryUid: string;
  readonly incarnation: string;
  readonly kind: 'whole' | 'changes';
  readonly seq: number;
  /** What the registry is sold as at that moment; unknown of notes by releases that did not say so. */
  readonly sku?: InventorySku;
  /** From 0. */
  readonly part: number;
  readonly isLast: boolean;
};

/** `inventory.<registry>.<incarnation>.<kind>.<seq>.<sku>.<part>`, and `.end` behind the last part. */
export function inventoryName(note: InventoryNote): string {
  const { registryUid, incarnation, kind, seq, sku, part, isLast } = note;
  const soldAs = sku === undefined ? '' : `.${sku.toLowerCase()}`;
  return `${registryPrefix(registryUid)}${incarnation}.${kind}.${seq}${soldAs}.${part}${isLast ? '.end' : ''}`;
}

/** All notes of a registry begin so. */
export function registryPrefix(registryUid: string): string {
  return `${inventoryPrefix}${registryUid}.`;
}

const pattern =
  /^inventory\.([a-z0-9]+)\.([a-z0-9]+)\.(whole|changes)\.(\d+)(?:\.(basic|standard|premium))?\.(\d+)(\.end)?$/;
const skus: readonly InventorySku[] = ['Basic', 'Standard', 'Premium'];

/** Undefined for other notes. */
export function parseInventoryName(name: string): InventoryNote | undefined {
  const [, registryUid, incarnation, kind, seq, lowerSku, part, end] = pattern.exec(name) ?? [];
  if (registryUid === undefined || incarnation === undefined || (kind !== 'whole' && kind !== 'changes'))
    return undefined;
  const sku = skus.find((each) => each.toLowerCase() === lowerSku);
  const soldAs = sku === undefined ? {} : { sku };
  return { registryUid, incarnation, kind, seq: Number(seq), ...soldAs, part: Number(part), isLast: end !== undefined };
}
