import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { readValue, type Value } from '../rows.ts';
import { foundSchema, statementsOf } from './found-statements.ts';
import type { InventoryLine, LineOf } from './inventory-line.ts';

export type FoundRegistry = { readonly uid: string; readonly name: string; readonly sku: LineOf<'registry'>['sku'] };
export type FoundRepository = Omit<LineOf<'repository'>, 'kind'>;
export type FoundManifest = Omit<LineOf<'manifest'>, 'kind' | 'repository' | 'body'> & { readonly body: Uint8Array };
export type FoundTag = Omit<LineOf<'tag'>, 'kind' | 'repository'>;
export type FoundBlob = { readonly key: string; readonly sizeBytes: number; readonly checksums: Uint8Array };

/** What a store says of itself, and what is in it: in a temporary file, for there may be millions. Close it at the end. */
export class FoundContent implements Disposable {
  readonly #database = new DatabaseSync('');

  constructor() {
    this.#database.exec('pragma journal_mode = off; pragma synchronous = off');
    this.#database.exec(foundSchema);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  /** Takes statements about a registry in order: a later one takes the place of an earlier one. */
  apply(registry: string, lines: readonly InventoryLine[]): void {
    this.#database.exec('begin');
    for (const line of lines) for (const [sql, ...values] of statementsOf(registry, line)) this.#run(sql, ...values);
    this.#database.exec('commit');
  }

  registries(): FoundRegistry[] {
    return this.#rows('select uid, name, sku from registries order by written_at, uid').map(([uid, name, sku]) => ({
      uid: text(uid),
      name: text(name),
      sku: skuOf(sku),
    }));
  }

  repositories(registry: string): FoundRepository[] {
    return this.#rows(
      'select name, locks, created_at, changed_at from repositories where registry = ? order by name',
      registry,
    ).map(([name, locks, createdAt, changedAt]) => ({
      repository: text(name),
      locks: Number(locks),
      createdAt: Number(createdAt),
      changedAt: Number(changedAt),
    }));
  }

  /** A page behind `after`, by digest. */
  manifests(registry: string, repository: string, after: string, limit: number): FoundManifest[] {
    return this.#rows(
      `select digest, media_type, locks, created_at, changed_at, body from manifests
       where registry = ? and repository = ? and digest > ? order by digest limit ?`,
      registry,
      repository,
      after,
      limit,
    ).map(([digest, mediaType, locks, createdAt, changedAt, body]) => ({
      digest: text(digest),
      mediaType: text(mediaType),
      locks: Number(locks),
      createdAt: Number(createdAt),
      changedAt: Number(changedAt),
      body: Buffer.from(text(body), 'base64'),
    }));
  }

  hasManifest(registry: string, repository: string, digest: string): boolean {
    const sql = 'select 1 from manifests where registry = ? and repository = ? and digest = ?';
    return this.#rows(sql, registry, repository, digest).length > 0;
  }

  /** A page behind `after`, by name. */
  tags(registry: string, repository: string, after: string, limit: number): FoundTag[] {
    return this.#rows(
      `select name, digest, hybrid_time, region, locks, created_at, changed_at from tags
       where registry = ? and repository = ? and name > ? order by name limit ?`,
      registry,
      repository,
      after,
      limit,
    ).map(([tag, digest, hybridTime, region, locks, createdAt, changedAt]) => ({
      tag: text(tag),
      digest: text(digest),
      hybridTime: Number(hybridTime),
      region: text(region),
      locks: Number(locks),
      createdAt: Number(createdAt),
      changedAt: Number(changedAt),
    }));
  }

  /** Whether a manifest names a blob by a digest of this algorithm. */
  wants(algorithm: string): boolean {
    const end = `${algorithm};`;
    return this.#rows('select 1 from wanted where digest > ? and digest < ? limit 1', `${algorithm}:`, end).length > 0;
  }

  addBlob(blob: FoundBlob, digests: readonly string[]): void {
    this.#run('insert into blobs values (?, ?, ?, null)', blob.key, blob.sizeBytes, blob.checksums);
    for (const digest of digests) this.#run('insert into digests values (?, ?)', digest, blob.key);
  }

  /** The blobs that manifests of a registry name, each with the repositories that do. */
  wantedBy(registry: string): Map<string, string[]> {
    const wanted = new Map<string, string[]>();
    const rows = this.#rows(
      'select distinct digest, repository from wanted where registry = ? order by 1, 2',
      registry,
    );
    for (const [digest, repository] of rows) {
      const repositories = wanted.get(text(digest)) ?? [];
      wanted.set(text(digest), repositories);
      repositories.push(text(repository));
    }
    return wanted;
  }

  /** A copy for a registry: its own, else one that no registry has taken; `isTaken` when all belong to others. */
  takeCopy(registry: string, digest: string): (FoundBlob & { readonly isTaken: boolean }) | undefined {
    const [row] = this.#rows(
      `select b.key, b.size, b.checksums, b.owner from digests d join blobs b on b.key = d.key where d.digest = ?
       order by case b.owner when ? then 0 else case when b.owner is null then 1 else 2 end end, b.key limit 1`,
      digest,
      registry,
    );
    if (row === undefined) return undefined;
    const [key, size, checksums, owner] = row;
    const isTaken = owner !== null && owner !== registry;
    if (!isTaken) this.#run('update blobs set owner = ? where key = ?', registry, text(key));
    return { key: text(key), sizeBytes: Number(size), checksums: bytes(checksums), isTaken };
  }

  /** Those that no registry has taken, with a digest of each. */
  strayBlobs(): (FoundBlob & { readonly digest: string })[] {
    return this.#rows(
      `select b.key, b.size, b.checksums, min(d.digest) from blobs b join digests d on d.key = b.key
       where b.owner is null group by b.key`,
    ).map(([key, size, checksums, digest]) => ({
      key: text(key),
      sizeBytes: Number(size),
      checksums: bytes(checksums),
      digest: text(digest),
    }));
  }

  #run(sql: string, ...values: readonly SQLInputValue[]): void {
    this.#database.prepare(sql).run(...values);
  }

  #rows(sql: string, ...values: readonly SQLInputValue[]): Value[][] {
    const statement = this.#database.prepare(sql);
    statement.setReturnArrays(true);
    return statement.all(...values).map((row) => Object.values(row).map(readValue));
  }
}

function skuOf(value: Value | undefined): FoundRegistry['sku'] {
  return value === 'Basic' || value === 'Standard' ? value : 'Premium';
}

function text(value: Value | undefined): string {
  return String(value);
}

function bytes(value: Value | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError('a column that holds bytes holds something else');
}
