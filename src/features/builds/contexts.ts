import { BerthError } from '../../core/errors.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import { lockedForUpdate } from '../../platform/database/locks.ts';
import type { Ids } from '../../platform/ids.ts';
import { contextBlocks } from './context-store.ts';
import { dropBytes, type KeptBytes, keepBytes, storeBytes } from './kept-bytes.ts';

export type ContextsParts = {
  readonly database: Database;
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Of one context. */
  readonly maxBytes: number;
};

/** Bytes that a client sends. */
export type Incoming = { readonly bytes: AsyncIterable<Uint8Array>; readonly lengthBytes: number | undefined };

/** `ready` when all of it is there, `taken` when a run has it. */
type State = 'waiting' | 'ready' | 'taken';

const maxBlocks = 10_000;
/** Of a registry: uploads that no run has taken yet. */
const maxUnused = 1_000;
/** As many of the largest size: what they hold together. */
const maxUnusedLargest = 16;
/** The block of a context that came in one piece. */
const wholeBlock = '';

/**
 * Files that clients upload for a run: in one piece, or in blocks that come in any order and are then listed. That is done once:
 * whoever sends the same again, having heard no answer, is told that it is there; nothing else takes its place. Source: az wire
 * document, 4.1.
 */
export class Contexts {
  readonly #parts: ContextsParts;

  constructor(parts: ContextsParts) {
    this.#parts = parts;
  }

  /** Resolves to the path of a new one: `source/202611200000/<guid>.tar.gz`. Throws `contextTooMany`. */
  async begin(registryUid: string): Promise<string> {
    const { database, clock, ids } = this.#parts;
    const nowMicros = clock.nowMicros();
    const minute = new Date(nowMicros / 1000).toISOString().replaceAll(/[-:T]/g, '').slice(0, 12);
    const path = `source/${minute}/${ids.guid()}.tar.gz`;
    await database.transaction(async (tx) => {
      if ((await countUnused(tx, registryUid)) >= maxUnused)
        throw new BerthError('contextTooMany', { limit: maxUnused });
      await tx
        .insertInto('build_contexts')
        .values({
          uid: ids.uid(),
          registry_uid: registryUid,
          path,
          state: 'waiting',
          created_at: nowMicros,
          changed_at: nowMicros,
        })
        .execute();
    });
    return path;
  }

  /** Throws `contextTooLarge`, `contextTooMany`, `sizeInvalid`, `blobAddressInvalid` for one that is gone or done. */
  async put(path: string, body: Incoming): Promise<void> {
    const stored = await this.#store(path, body, ['waiting', 'ready']);
    const old = await this.#write(path, stored, async (tx, { uid, state }) => {
      if (state === 'ready') {
        if (!(await isWhole(tx, uid, stored))) throw closed();
        await dropBytes(tx, [stored.storageKey]);
        return [stored.storageKey];
      }
      const keys = await removeBlocks(tx, uid);
      await insertBlock(tx, uid, wholeBlock, stored, 0);
      await tx.updateTable('build_contexts').set({ state: 'ready' }).where('uid', '=', uid).execute();
      return keys;
    });
    await this.#parts.store.removeMany(old);
  }

  /** One block, not yet a part of the context. Throws as `put`, and `blobRequestInvalid` for too many. */
  async putBlock(path: string, blockId: string, body: Incoming): Promise<void> {
    const stored = await this.#store(path, body, ['waiting']);
    const old = await this.#write(path, stored, async (tx, { uid, state }) => {
      if (state !== 'waiting') throw closed();
      const blocks = await blocksOf(tx, uid);
      const others = blocks.filter((block) => block.id !== blockId);
      const sizeBytes = others.reduce((sum, block) => sum + block.sizeBytes, stored.sizeBytes);
      if (sizeBytes > this.#parts.maxBytes) throw new BerthError('contextTooLarge');
      if (others.length >= maxBlocks) throw new BerthError('blobRequestInvalid', 'it has too many blocks');
      const keys = await removeBlocks(tx, uid, [blockId]);
      await insertBlock(tx, uid, blockId, stored, null);
      return keys;
    });
    await this.#parts.store.removeMany(old);
  }

  /** Makes the context of these blocks, in this order; others leave. Throws `blobRequestInvalid` for one that is not there. */
  async commit(path: string, blockIds: readonly string[]): Promise<void> {
    if (blockIds.length > maxBlocks || new Set(blockIds).size < blockIds.length)
      throw new BerthError('blobRequestInvalid', 'the list names too many blocks, or one of them twice');
    const old = await this.#write(path, undefined, async (tx, { uid, state }) => {
      const blocks = await blocksOf(tx, uid);
      if (state === 'ready') {
        if (!isSameList(blocks, blockIds)) throw closed();
        return [];
      }
      const known = new Set(blocks.map(({ id }) => id));
      const missing = blockIds.find((id) => !known.has(id));
      if (missing !== undefined) throw new BerthError('blobRequestInvalid', `the block ${missing} was not sent`);
      for (const [position, id] of blockIds.entries())
        await tx
          .updateTable('build_context_blocks')
          .set({ position })
          .where('context_uid', '=', uid)
          .where('block_id', '=', id)
          .execute();
      const listed = new Set(blockIds);
      const others = [...known].filter((id) => !listed.has(id));
      await tx.updateTable('build_contexts').set({ state: 'ready' }).where('uid', '=', uid).execute();
      return others.length === 0 ? [] : await removeBlocks(tx, uid, others);
    });
    await this.#parts.store.removeMany(old);
  }

  /** The bytes of a whole context. Throws `contextUnknown`. */
  async read(registryUid: string, path: string): Promise<{ sizeBytes: number; bytes: AsyncIterable<Uint8Array> }> {
    const { database, store } = this.#parts;
    const blocks = await contextBlocks(database.read, registryUid, path);
    if (blocks.length === 0) throw new BerthError('contextUnknown');
    const sizeBytes = blocks.reduce((sum, block) => sum + block.sizeBytes, 0);
    async function* bytes() {
      for (const { storageKey } of blocks) yield* store.read(storageKey);
    }
    return { sizeBytes, bytes: bytes() };
  }

  /** Removes what no run needs: contexts that nobody used for so long, and those whose runs have ended. */
  async removeUnneeded(unusedMicros: number): Promise<void> {
    const { database, store, clock } = this.#parts;
    const before = clock.nowMicros() - unusedMicros;
    const keys = await database.transaction(async (tx) => {
      const rows = await tx
        .selectFrom('build_contexts as c')
        .select('c.uid')
        .where((at) =>
          at.or([
            at('c.changed_at', '<', before),
            at.and([
              at('c.state', '=', 'taken'),
              at.exists(at.selectFrom('runs as r').select('r.uid').whereRef('r.context_path', '=', 'c.path')),
            ]),
          ]),
        )
        .where((at) =>
          at.not(
            at.exists(
              at
                .selectFrom('runs as r')
                .select('r.uid')
                .whereRef('r.context_path', '=', 'c.path')
                .where('r.finished_at', 'is', null),
            ),
          ),
        )
        .orderBy('c.changed_at')
        .limit(100)
        .execute();
      const removed: string[] = [];
      for (const { uid } of rows) {
        removed.push(...(await removeBlocks(tx, uid)));
        await tx.deleteFrom('build_contexts').where('uid', '=', uid).execute();
      }
      return removed;
    });
    await store.removeMany(keys);
  }

  async #store(path: string, { bytes, lengthBytes }: Incoming, states: readonly State[]): Promise<KeptBytes> {
    const { database, store, maxBytes } = this.#parts;
    if (lengthBytes !== undefined && lengthBytes > maxBytes) throw new BerthError('contextTooLarge');
    // Looked at before the bytes are taken, and again with them.
    const row = await database.read
      .selectFrom('build_contexts')
      .select('state')
      .where('path', '=', path)
      .executeTakeFirst();
    if (row === undefined || !states.includes(row.state)) throw closed();
    const stored = await storeBytes(store, atMost(bytes, maxBytes));
    if (lengthBytes === undefined || stored.sizeBytes === lengthBytes) return stored;
    await store.removeMany([stored.storageKey]);
    throw new BerthError('sizeInvalid', { announced: lengthBytes, sent: stored.sizeBytes });
  }

  /** Changes the rows of a context that is still open; resolves to keys of bytes that no row names any more. */
  async #write(
    path: string,
    stored: KeptBytes | undefined,
    change: (tx: Transaction, row: { readonly uid: string; readonly state: State }) => Promise<string[]>,
  ): Promise<string[]> {
    const { database, store, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    try {
      return await database.transaction(async (tx) => {
        const query = tx.selectFrom('build_contexts').selectAll().where('path', '=', path);
        const row = await lockedForUpdate(database.kind, query).executeTakeFirst();
        if (row === undefined || row.state === 'taken') throw closed();
        if (stored !== undefined) await keepBytes(tx, row.registry_uid, stored, nowMicros);
        await tx.updateTable('build_contexts').set({ changed_at: nowMicros }).where('uid', '=', row.uid).execute();
        const old = await change(tx, row);
        if (stored !== undefined) await this.#refuseTooMuch(tx, row.registry_uid);
        return old;
      });
    } catch (error) {
      if (stored !== undefined && error instanceof BerthError) await store.removeMany([stored.storageKey]);
      throw error;
    }
  }

  async #refuseTooMuch(tx: Transaction, registryUid: string): Promise<void> {
    const limitBytes = maxUnusedLargest * this.#parts.maxBytes;
    if ((await unusedBytes(tx, registryUid)) > limitBytes) throw new BerthError('contextTooMany', { limitBytes });
  }
}

/** What the contexts of a registry hold that no run has taken yet. */
async function unusedBytes(tx: Transaction, registryUid: string): Promise<number> {
  const { total } = await tx
    .selectFrom('build_contexts as c')
    .innerJoin('build_context_blocks as b', 'b.context_uid', 'c.uid')
    .select((select) => select.fn.sum<number | string | null>('b.size').as('total'))
    .where('c.registry_uid', '=', registryUid)
    .where('c.state', '<>', 'taken')
    .executeTakeFirstOrThrow();
  return Number(total ?? 0);
}

/** Whether these bytes are the context, in one piece. */
async function isWhole(tx: Transaction, uid: string, { digest }: KeptBytes): Promise<boolean> {
  const row = await tx
    .selectFrom('build_context_blocks as b')
    .innerJoin('kept_bytes as k', 'k.storage_key', 'b.storage_key')
    .select('k.digest')
    .where('b.context_uid', '=', uid)
    .where('b.block_id', '=', wholeBlock)
    .executeTakeFirst();
  return row?.digest === digest;
}

function isSameList(
  blocks: readonly { readonly id: string; readonly position: number | null }[],
  ids: readonly string[],
): boolean {
  const listed = blocks
    .filter(({ position }) => position !== null)
    .toSorted((a, b) => Number(a.position) - Number(b.position));
  return listed.length === ids.length && listed.every(({ id }, index) => id === ids[index]);
}

function closed(): BerthError {
  return new BerthError('blobAddressInvalid', 'the upload is done, or gone: each address takes one');
}

async function countUnused(tx: Transaction, registryUid: string): Promise<number> {
  const { count } = await tx
    .selectFrom('build_contexts')
    .select((select) => select.fn.countAll<number>().as('count'))
    .where('registry_uid', '=', registryUid)
    .where('state', '<>', 'taken')
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function* atMost(bytes: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const chunk of bytes) {
    total += chunk.length;
    if (total > maxBytes) throw new BerthError('contextTooLarge');
    yield chunk;
  }
}

async function blocksOf(tx: Transaction, uid: string) {
  return await tx
    .selectFrom('build_context_blocks')
    .select(['block_id as id', 'size as sizeBytes', 'position'])
    .where('context_uid', '=', uid)
    .execute();
}

async function insertBlock(
  tx: Transaction,
  uid: string,
  blockId: string,
  { storageKey, sizeBytes }: KeptBytes,
  position: number | null,
): Promise<void> {
  await tx
    .insertInto('build_context_blocks')
    .values({ context_uid: uid, block_id: blockId, storage_key: storageKey, size: sizeBytes, position })
    .execute();
}

/** All of them unless named; resolves to the keys of their bytes. */
async function removeBlocks(tx: Transaction, uid: string, ids?: readonly string[]): Promise<string[]> {
  let gone = tx.deleteFrom('build_context_blocks').where('context_uid', '=', uid);
  if (ids !== undefined) gone = gone.where('block_id', 'in', ids);
  const keys = (await gone.returning('storage_key').execute()).map((row) => row.storage_key);
  await dropBytes(tx, keys);
  return keys;
}
