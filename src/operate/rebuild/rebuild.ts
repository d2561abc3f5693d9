import { registryKey } from '../../core/registry-name.ts';
import { writeRegistry } from '../../features/registries/registries.ts';
import type { StoreMark } from '../../platform/blob-store/store-mark.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { FoundContent, type FoundRegistry } from './found-content.ts';
import { inventoryPrefix } from './inventory-name.ts';
import { type InventoryDoubts, readInventory } from './read-inventory.ts';
import { type ContentParts, keepStrays, type RegistryAccount, rebuildContent } from './rebuilt-content.ts';
import { type ScanAccount, type ScanProgress, scanBlobs } from './scan-blobs.ts';

export type RebuildParts = Omit<ContentParts, 'found'> & {
  readonly sealer: Sealer;
  readonly notes: StoreNotes;
  readonly mark: StoreMark;
  /** Of the new installation. */
  readonly tenantUid: string;
  readonly defaultRegistryName: string;
  readonly progress: ScanProgress;
};

export type RebuildAccount = {
  readonly scanned: ScanAccount;
  readonly registries: readonly RegistryAccount[];
  /** Blobs that nothing known names. */
  readonly strays: { readonly blobs: number; readonly bytes: number };
  readonly doubts: InventoryDoubts;
};

/** Holds the tenant for which a rebuild is under way, so that one that was cut off can be taken up. */
const underWay = 'rebuild.under-way';

/** Throws when the store does not say what is in it. */
export async function requireInventory(notes: StoreNotes): Promise<void> {
  for await (const _ of notes.list(inventoryPrefix)) return;
  throw new Error(
    'the store does not say what is in it: it is not the store of an installation, or was last used by a version of Berth ' +
      'that kept no inventory; give the right one with --blobs, or restore a backup',
  );
}

/**
 * Makes repositories, manifests and tags again in a new, empty installation, by what the store says of itself and by the digests
 * of the blobs in it. Until it has ended, the store is not the new installation's, and no server starts on the two. Cut off
 * anywhere, it is run again. Throws when the database holds another installation.
 */
export async function rebuild(parts: RebuildParts): Promise<RebuildAccount> {
  const { notes, mark, tenantUid } = parts;
  await requireUnused(parts);
  await notes.put(underWay, Buffer.from(tenantUid));
  using found = new FoundContent();
  const doubts = await readInventory(notes, found);
  const scanned = await scanBlobs(parts.store, found, parts.progress);
  const registries: RegistryAccount[] = [];
  for (const registry of newestByName(found.registries())) {
    const uid = await ensureRegistry(parts, registry);
    registries.push(await rebuildContent({ ...parts, found }, { name: registry.name, foundUid: registry.uid, uid }));
  }
  const keeper = await ensureRegistry(parts, { name: parts.defaultRegistryName, sku: 'Premium' });
  const strays = await keepStrays({ ...parts, found }, keeper);
  await mark.write(tenantUid);
  await notes.removeMany([underWay]);
  return { scanned, registries, strays, doubts };
}

/** The database is new, or this is a rebuild that was cut off. */
async function requireUnused({ database, mark, notes, tenantUid }: RebuildParts): Promise<void> {
  const begun = Buffer.from((await notes.get(underWay)) ?? []).toString();
  if (begun === tenantUid) return;
  const used = await database.read.selectFrom('repositories').select('uid').limit(1).executeTakeFirst();
  if (used !== undefined || (await mark.read()) === tenantUid)
    throw new Error('the database holds an installation already; rebuild into an empty one (--data, --database)');
}

/** A name that was given again belongs to the registry that was written last. */
function newestByName(registries: readonly FoundRegistry[]): FoundRegistry[] {
  return [...new Map(registries.map((registry) => [registry.name.toLowerCase(), registry])).values()];
}

async function ensureRegistry(parts: RebuildParts, { name, sku }: Omit<FoundRegistry, 'uid'>): Promise<string> {
  return await parts.journal.transaction(async (tx, append) => {
    const there = await tx
      .selectFrom('registries')
      .select('uid')
      .where('name_key', '=', registryKey(name))
      .executeTakeFirst();
    if (there !== undefined) return there.uid;
    const closed = { isAdminEnabled: false, isAnonymousPullEnabled: false };
    return await writeRegistry(parts, tx, append, {
      tenantUid: parts.tenantUid,
      name,
      sku,
      ...closed,
      actor: 'rebuild',
    });
  });
}
