import { type RawBuilder, sql } from 'kysely';
import { BerthError } from '../../core/errors.ts';

/** What may be done with a repository, manifest or tag. Source: ACR semantics, 4.3. */
export const attributeNames = ['deleteEnabled', 'writeEnabled', 'readEnabled', 'listEnabled'] as const;
export type AttributeName = (typeof attributeNames)[number];
export type Attributes = Readonly<Record<AttributeName, boolean>>;

/** A row keeps its attributes as the bits of those that are off; 0 for none. */
export type Locks = number;

/** The bit of each attribute, as rows and queries have it. */
export const lockBits = { readEnabled: 1, writeEnabled: 2, deleteEnabled: 4, listEnabled: 8 } as const;

/** Keeps a manifest or tag from being deleted. */
export const deletionLocks: Locks = lockBits.writeEnabled | lockBits.deleteEnabled;

export function attributesOf(locks: Locks): Attributes {
  const isOn = (name: AttributeName) => (locks & lockBits[name]) === 0;
  return {
    deleteEnabled: isOn('deleteEnabled'),
    writeEnabled: isOn('writeEnabled'),
    readEnabled: isOn('readEnabled'),
    listEnabled: isOn('listEnabled'),
  };
}

/** `locks` after a change; attributes it does not name stay. */
export function withAttributes(
  locks: Locks,
  change: { readonly [name in AttributeName]?: boolean | undefined },
): Locks {
  return attributeNames.reduce((result, name) => {
    const isOn = change[name];
    if (isOn === undefined) return result;
    return isOn ? result & ~lockBits[name] : result | lockBits[name];
  }, locks);
}

/** What carries attributes: the repository itself, or something in it. */
export type Lockable =
  | { readonly repository: string }
  | { readonly repository: string; readonly tag: string }
  | { readonly repository: string; readonly digest: string };

/** Throws `contentLocked` when one of these attributes is off. */
export function requireOn(item: Lockable, locks: Locks, ...needed: readonly AttributeName[]): void {
  const off = needed.find((name) => (locks & lockBits[name]) !== 0);
  if (off !== undefined) throw new BerthError('contentLocked', { ...item, [off]: false });
}

/** The condition of lists: `listEnabled` is on. */
export function isListed(column: string): RawBuilder<boolean> {
  return sql<boolean>`(${sql.ref(column)} & ${sql.lit(lockBits.listEnabled)}) = 0`;
}

/** The condition of what is kept from being deleted. */
export function isKept(column: string): RawBuilder<boolean> {
  return sql<boolean>`(${sql.ref(column)} & ${sql.lit(deletionLocks)}) <> 0`;
}
