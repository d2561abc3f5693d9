import { createHash } from 'node:crypto';
import type { ContainerClient } from '@azure/storage-blob';
import type { Clock } from '../../clock.ts';
import type { Ids } from '../../ids.ts';
import {
  BlobMissing,
  type BlobStore,
  type ByteRange,
  type PartPlace,
  type PartToken,
  type ReadOptions,
  type StorageKey,
  type StoredPart,
  type StoreEntry,
  type StoreHandle,
} from '../blob-store.ts';
import { createReusedBlocks, freshBlocks } from '../file-reader.ts';
import { isStorageKey } from '../folder-layout.ts';
import { MemoryBudget } from '../memory-budget.ts';
import { sendPieces } from '../send-pieces.ts';
import { markOf, type StoreMark } from '../store-mark.ts';
import type { StoreNotes } from '../store-notes.ts';
import { azureFault, isMissing, isStatus, orMissing } from './azure-fault.ts';
import { azureNotes } from './azure-notes.ts';
import { type BlockRun, blockBytesAt, blockId, blocksOf, runsOf, writeToken } from './block-token.ts';
import { download, downloadWhole } from './download.ts';
import { removeBlobs } from './remove-blobs.ts';

const keyBytes = 16;
const nonceBytes = 4;
const noBytes = new Uint8Array(0);
/** Metadata of a blob that is committed only so that it can be read. */
const unfinished = { berth: 'unfinished' };

export type AzureStoreOptions = {
  readonly container: ContainerClient;
  /** Empty, or ends with a slash. */
  readonly prefix: string;
  readonly ids: Ids;
  readonly clock: Clock;
};

/**
 * Keeps blobs in a container of Azure Blob Storage, as `<prefix>blobs/<key>`. A handle is the blob's key. Parts are blocks that are
 * not committed; the service forgets them after a week. They cannot be read: to read an unfinished blob it is committed with
 * metadata that says so, which `complete` takes away.
 */
export class AzureStore implements BlobStore {
  readonly minPartBytes = 0;
  readonly notes: StoreNotes;
  readonly #container: ContainerClient;
  readonly #prefix: string;
  readonly #ids: Ids;
  readonly #clock: Clock;
  readonly #budget: MemoryBudget;
  readonly #reusedBlocks = createReusedBlocks();

  constructor({ container, prefix, ids, clock }: AzureStoreOptions) {
    this.#container = container;
    this.#prefix = prefix;
    this.#ids = ids;
    this.#clock = clock;
    this.#budget = new MemoryBudget(clock);
    this.notes = azureNotes(container, prefix, clock);
  }

  readonly begin = async (): Promise<StoreHandle> => this.#hex(keyBytes);

  readonly keyOf = (handle: StoreHandle): StorageKey => handle;

  readonly part = (handle: StoreHandle, place: PartPlace, bytes: AsyncIterable<Uint8Array>): Promise<StoredPart> =>
    translated(async () => {
      const blob = this.#blob(handle);
      if (place.offset > 0 && (await this.#blockSizes(handle)) === undefined)
        throw new BlobMissing('the blocks of an unfinished blob are gone');
      const run = { nonce: this.#hex(nonceBytes), start: place.offset };
      const send = async (piece: Uint8Array, index: number) => {
        const transactionalContentMD5 = createHash('md5').update(piece).digest();
        await blob.stageBlock(
          blockId(run, index),
          Buffer.from(piece.buffer, piece.byteOffset, piece.length),
          piece.length,
          {
            transactionalContentMD5,
          },
        );
        return piece.length;
      };
      const sizes = await sendPieces(bytes, { first: noBytes, lengthOf: blockBytesAt, budget: this.#budget, send });
      const sizeBytes = sizes.reduce((total, size) => total + size, 0);
      return { token: writeToken({ ...run, sizeBytes }), sizeBytes };
    });

  async *readUnfinished(handle: StoreHandle, tokens: readonly PartToken[]): AsyncGenerator<Uint8Array> {
    const { runs, sizeBytes } = runsOf(tokens);
    await translated(() => this.#seal(handle, runs, sizeBytes));
    yield* this.read(handle, { start: 0, end: sizeBytes });
  }

  readonly unfinishedBytes = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<number> =>
    translated(async () => {
      const held = await this.#blockSizes(handle);
      let total = 0;
      for (const block of runsOf(tokens).runs.flatMap(blocksOf)) {
        if (held?.get(block.id) !== block.sizeBytes) break;
        total += block.sizeBytes;
      }
      return total;
    });

  readonly complete = (handle: StoreHandle, tokens: readonly PartToken[]): Promise<StorageKey> =>
    translated(async () => {
      const { runs, sizeBytes } = runsOf(tokens);
      const commit = this.#hex(keyBytes);
      try {
        await this.#commit(handle, runs, { commit });
      } catch (cause) {
        if (!isMissing(cause)) throw cause;
        await this.#finishCommitted(handle, sizeBytes, commit, cause);
      }
      return handle;
    });

  readonly abort = (handle: StoreHandle): Promise<void> =>
    translated(async () => {
      const blob = this.#blob(handle);
      const found = await this.#propertiesOf(handle);
      if (found?.isUnfinished === false) return;
      // Blocks that are not committed leave when another list is.
      if (found === undefined) await ignoring(409, blob.commitBlockList([], onlyNew(unfinished)));
      await ignoring(404, blob.delete());
    });

  async *read(key: StorageKey, range?: ByteRange, { mayReuse = false }: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    const blocks = mayReuse ? this.#reusedBlocks : freshBlocks;
    yield* translatedStream(download(this.#blob(key), { range, clock: this.#clock, blocks }));
  }

  readonly removeMany = (keys: readonly StorageKey[]): Promise<void> =>
    translated(() =>
      removeBlobs(
        this.#container,
        keys.map((key) => this.#blob(key)),
      ),
    );

  list(prefix: string): AsyncIterable<StoreEntry> {
    return translatedStream(this.#list(prefix));
  }

  async *#list(prefix: string): AsyncGenerator<StoreEntry> {
    const folder = `${this.#prefix}blobs/`;
    const pages = this.#container.listBlobsFlat({
      prefix: `${folder}${prefix}`,
      includeUncommitedBlobs: true,
      includeMetadata: true,
    });
    for await (const { name, metadata, properties } of pages) {
      const key = name.slice(folder.length);
      if (!isStorageKey(key)) continue;
      const { contentLength: sizeBytes = 0 } = properties;
      // A blob without a committed block is listed like an empty one.
      const isOpen = metadata?.berth === unfinished.berth || (sizeBytes === 0 && !(await this.#propertiesOf(key)));
      const modifiedMicros = (properties.lastModified?.getTime() ?? this.#clock.nowMicros() / 1000) * 1000;
      yield isOpen
        ? { key, sizeBytes: await this.#heldBytes(key), modifiedMicros, handle: key }
        : { key, sizeBytes, modifiedMicros, handle: undefined };
    }
  }

  readonly check = (): Promise<void> =>
    translated(async () => {
      await this.#container.getBlockBlobClient(`${this.#prefix}check`).upload('', 0);
    });

  /** Whose store this is. */
  readonly mark: StoreMark = {
    read: () =>
      translated(async () => {
        const blob = this.#container.getBlockBlobClient(`${this.#prefix}installation`);
        return (await blob.exists()) ? markOf(await downloadWhole(blob, this.#clock)) : undefined;
      }),
    write: (owner) =>
      translated(async () => {
        await this.#container.getBlockBlobClient(`${this.#prefix}installation`).upload(owner, owner.length);
      }),
  };

  /** The only builder of names; takes nothing but keys made by `begin`. */
  #blob(key: StorageKey) {
    if (!isStorageKey(key)) throw new Error('malformed storage key');
    return this.#container.getBlockBlobClient(`${this.#prefix}blobs/${key}`);
  }

  async #commit(handle: StoreHandle, runs: readonly BlockRun[], metadata: Record<string, string>): Promise<void> {
    const ids = runs.flatMap(blocksOf).map((block) => block.id);
    await this.#blob(handle).commitBlockList(ids, onlyNew(metadata));
  }

  async #seal(handle: StoreHandle, runs: readonly BlockRun[], sizeBytes: number): Promise<void> {
    try {
      await this.#commit(handle, runs, unfinished);
    } catch (cause) {
      if (!isMissing(cause)) throw cause;
      const found = await this.#propertiesOf(handle);
      if (found?.isUnfinished !== true || found.sizeBytes < sizeBytes) throw orMissing(cause);
    }
  }

  /** The blob is there already: sealed, or committed by a first try whose answer was lost. */
  async #finishCommitted(handle: StoreHandle, sizeBytes: number, commit: string, cause: unknown): Promise<void> {
    const found = await this.#propertiesOf(handle);
    if (found?.commit === commit) return;
    if (found?.isUnfinished !== true || found.sizeBytes !== sizeBytes) throw orMissing(cause);
    await this.#blob(handle).setMetadata({ commit });
  }

  async #propertiesOf(key: StorageKey) {
    try {
      const { metadata, contentLength: sizeBytes = 0 } = await this.#blob(key).getProperties();
      return { isUnfinished: metadata?.berth === unfinished.berth, commit: metadata?.commit, sizeBytes };
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw cause;
    }
  }

  /** Blocks by id, committed or not; undefined when there are none and no blob. */
  async #blockSizes(key: StorageKey): Promise<ReadonlyMap<string, number> | undefined> {
    try {
      const { committedBlocks = [], uncommittedBlocks = [] } = await this.#blob(key).getBlockList('all');
      return new Map([...committedBlocks, ...uncommittedBlocks].map(({ name, size }) => [name, size]));
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw cause;
    }
  }

  async #heldBytes(key: StorageKey): Promise<number> {
    const held = await this.#blockSizes(key);
    return [...(held?.values() ?? [])].reduce((total, size) => total + size, 0);
  }

  #hex(bytes: number): string {
    return Buffer.from(this.#ids.bytes(bytes)).toString('hex');
  }
}

function onlyNew(metadata: Record<string, string>) {
  return { metadata, conditions: { ifNoneMatch: '*' } };
}

async function ignoring(status: number, answer: Promise<unknown>): Promise<void> {
  try {
    await answer;
  } catch (cause) {
    if (!isStatus(cause, status)) throw cause;
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw azureFault(orMissing(cause));
  }
}

async function* translatedStream<T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* stream;
  } catch (cause) {
    throw azureFault(cause);
  }
}
