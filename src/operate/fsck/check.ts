import { createHash } from 'node:crypto';
import { algorithmOf, digestOf, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseManifest } from '../../core/manifest.ts';
import type { BlobStore } from '../../platform/blob-store/blob-store.ts';
import type { RowSource } from '../rows.ts';
import type { Finding } from './finding.ts';
import { readRows } from './read-rows.ts';

export type CheckParts = {
  /** The database as it is now; opened twice, for what changes while the store is listed. */
  readonly openRows: () => Promise<RowSource>;
  readonly store: Pick<BlobStore, 'list'>;
  readonly nowMicros: number;
  /** Bytes that are younger and that nothing names may belong to a push that is under way. */
  readonly graceMs: number;
  /** Manifests may name what was never pushed. */
  readonly isSparseAllowed: boolean;
};

export type CheckAccount = {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly manifests: number;
  readonly findings: readonly Finding[];
};

type BlobRow = {
  readonly registryUid: string;
  readonly digest: string;
  readonly key: string;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly state: string;
};

/**
 * Compares database and store both ways, and the database with itself. Reads every manifest, and of blobs their lengths: their
 * bytes are the scrub's matter. Changes nothing; may run beside a server.
 */
export async function check(parts: CheckParts): Promise<CheckAccount> {
  const { blobs, kept, content } = await readFirst(parts);
  const stored = await compareStore(parts, blobs, kept);
  return {
    blobs: blobs.length,
    blobBytes: blobs.reduce((sum, blob) => sum + blob.storedBytes, 0),
    manifests: content.manifests,
    findings: [...stored, ...content.findings],
  };
}

/** No longer open than it takes: a database keeps what changes meanwhile, and listing a store may take hours. */
async function readFirst({ openRows, isSparseAllowed }: CheckParts) {
  const rows = await openRows();
  try {
    const blobs = await readBlobs(rows);
    return { blobs, content: await checkContent(rows, blobs, isSparseAllowed), kept: await readKept(rows) };
  } finally {
    await rows.close();
  }
}

async function readBlobs(source: RowSource): Promise<BlobRow[]> {
  const blobs: BlobRow[] = [];
  for await (const row of readRows(source, 'blobs'))
    blobs.push({
      registryUid: row.text('registry_uid'),
      digest: row.text('digest'),
      key: row.text('storage_key'),
      sizeBytes: row.number('size'),
      storedBytes: row.number('stored_size'),
      state: row.text('state'),
    });
  return blobs;
}

type Kept = { readonly key: string; readonly sizeBytes: number };

/** Contexts and logs of builds. */
async function readKept(source: RowSource): Promise<Kept[]> {
  const kept: Kept[] = [];
  for await (const row of readRows(source, 'kept_bytes'))
    kept.push({ key: row.text('storage_key'), sizeBytes: row.number('size') });
  return kept;
}

/** What differs must still do so in rows that are read after the store: keys are never used again. */
async function compareStore(parts: CheckParts, blobs: readonly BlobRow[], kept: readonly Kept[]): Promise<Finding[]> {
  const oldEnough = parts.nowMicros - parts.graceMs * 1000;
  const missing = new Map(blobs.map((blob) => [blob.key, blob]));
  const missingKept = new Set(kept.map(({ key }) => key));
  const findings: Finding[] = [];
  const whole = new Set<string>();
  const unnamed: Extract<Finding, { kind: 'unnamedBytes' }>[] = [];
  for await (const { key, sizeBytes, modifiedMicros, handle } of parts.store.list('')) {
    const blob = handle === undefined ? missing.get(key) : undefined;
    const isKept = handle === undefined && missingKept.delete(key);
    if (blob !== undefined) {
      missing.delete(key);
      if (blob.state === 'damaged' && blob.storedBytes === sizeBytes) whole.add(key);
      if (blob.state === 'ready' && blob.storedBytes !== sizeBytes)
        findings.push({ kind: 'blobLength', ...about(blob), storedBytes: sizeBytes });
    } else if (!isKept && modifiedMicros < oldEnough)
      unnamed.push({ kind: 'unnamedBytes', key, handle, bytes: sizeBytes });
  }
  const second = await parts.openRows();
  try {
    const rows = await readBlobs(second);
    const named = new Set(rows.map(({ key }) => key));
    for await (const upload of readRows(second, 'uploads')) named.add(upload.text('handle'));
    for (const { key, sizeBytes } of await readKept(second)) {
      named.add(key);
      if (missingKept.has(key)) findings.push({ kind: 'keptMissing', key, sizeBytes });
    }
    for (const blob of rows) {
      if (blob.state === 'damaged')
        findings.push({ kind: 'blobDamaged', ...about(blob), mayBeWhole: whole.has(blob.key) });
      else if (missing.has(blob.key)) findings.push({ kind: 'blobMissing', ...about(blob) });
    }
    const isNamed = (each: { readonly key: string; readonly handle: string | undefined }) =>
      named.has(each.key) || named.has(each.handle ?? each.key);
    const isStill = (finding: Finding) => finding.kind !== 'blobLength' || named.has(finding.key);
    return [...findings.filter(isStill), ...unnamed.filter((each) => !isNamed(each))];
  } finally {
    await second.close();
  }
}

function about({ registryUid, digest, key, sizeBytes }: BlobRow) {
  return { registryUid, digest, key, sizeBytes };
}

type Repository = { readonly registryUid: string; readonly name: string };

async function checkContent(source: RowSource, blobs: readonly BlobRow[], isSparseAllowed: boolean) {
  const repositories = new Map<string, Repository>();
  for await (const row of readRows(source, 'repositories'))
    repositories.set(row.text('uid'), { registryUid: row.text('registry_uid'), name: row.text('name') });
  const links = new Set<string>();
  for await (const row of readRows(source, 'blob_links'))
    links.add(`${row.text('repository_uid')} ${row.text('digest')}`);
  const manifests = await readManifests(source, repositories);
  const findings: Finding[] = [...manifests.findings];
  for (const { at, digest, needs } of isSparseAllowed ? [] : manifests.needs) {
    const missing = needs.find(({ kind, digest: wanted }) => {
      const known = kind === 'blob' ? links : manifests.known;
      return !known.has(`${at} ${wanted}`);
    });
    const repository = repositories.get(at)?.name ?? '';
    if (missing !== undefined)
      findings.push({ kind: 'manifestIncomplete', repositoryUid: at, repository, digest, missing: missing.digest });
  }
  for await (const row of readRows(source, 'tags')) {
    const [repositoryUid, digest] = [row.text('repository_uid'), row.text('digest')];
    if (!manifests.known.has(`${repositoryUid} ${digest}`))
      findings.push({ kind: 'tagDangling', repositoryUid, tag: row.text('name'), digest });
  }
  findings.push(...(await checkUsage(source, { blobs, repositories, links, sizes: manifests.sizes })));
  return { manifests: manifests.known.size, findings };
}

type Needed = { readonly kind: 'blob' | 'manifest'; readonly digest: string };
type Needs = { readonly at: string; readonly digest: string; readonly needs: readonly Needed[] };

/** Sizes are those of manifests that are served or kept to be restored, each once. */
async function readManifests(source: RowSource, repositories: ReadonlyMap<string, Repository>) {
  const known = new Set<string>();
  const sizes = new Map<string, { readonly at: string; readonly bytes: number }>();
  const needs: Needs[] = [];
  const findings: Finding[] = [];
  for await (const row of readRows(source, 'manifests')) {
    const [at, digest, body] = [row.text('repository_uid'), row.text('digest'), row.bytes('body')];
    known.add(`${at} ${digest}`);
    sizes.set(`${at} ${digest}`, { at, bytes: row.number('size') });
    const about = { repositoryUid: at, repository: repositories.get(at)?.name ?? '', digest };
    const needed = isWhole(digest, body) ? needsOf(body, row.text('media_type')) : undefined;
    if (needed === undefined) findings.push({ kind: 'manifestDamaged', ...about });
    else if (needed === 'unreadable') findings.push({ kind: 'manifestUnreadable', ...about });
    else needs.push({ at, digest, needs: needed });
  }
  for await (const row of readRows(source, 'deleted_manifests')) {
    const at = row.text('repository_uid');
    const key = `${at} ${row.text('digest')}`;
    if (!sizes.has(key)) sizes.set(key, { at, bytes: row.number('size') });
  }
  return { known, sizes, needs, findings };
}

function isWhole(digest: string, body: Uint8Array): boolean {
  const algorithm = algorithmOf(parseDigest(digest));
  return digestOf(algorithm, createHash(algorithm).update(body).digest('hex')) === digest;
}

/** Layers that may not be distributed need not be there. */
function needsOf(body: Uint8Array, mediaType: string): readonly Needed[] | 'unreadable' {
  try {
    const { blobs, children } = parseManifest(body, mediaType);
    return [
      ...blobs.map(({ digest }) => ({ kind: 'blob' as const, digest })),
      ...children.map(({ digest }) => ({ kind: 'manifest' as const, digest })),
    ];
  } catch (error) {
    if (error instanceof BerthError) return 'unreadable';
    throw error;
  }
}

type UsageFacts = {
  readonly blobs: readonly BlobRow[];
  readonly repositories: ReadonlyMap<string, Repository>;
  readonly links: ReadonlySet<string>;
  readonly sizes: ReadonlyMap<string, { readonly at: string; readonly bytes: number }>;
};

/** By the rule of `storage-use.ts`: manifests, and each blob once that a manifest references where it is shown. */
async function checkUsage(source: RowSource, facts: UsageFacts): Promise<Finding[]> {
  const sizeOf = new Map(facts.blobs.map((blob) => [`${blob.registryUid} ${blob.digest}`, blob.sizeBytes]));
  const inUse = new Set<string>();
  for (const table of ['manifest_references', 'deleted_references'])
    for await (const row of readRows(source, table)) {
      const [at, digest] = [row.text('repository_uid'), row.text('digest')];
      const key = `${facts.repositories.get(at)?.registryUid} ${digest}`;
      if (row.text('kind') === 'blob' && facts.links.has(`${at} ${digest}`) && sizeOf.has(key)) inUse.add(key);
    }
  const counted = new Set<string>();
  for await (const row of readRows(source, 'referenced_blobs'))
    counted.add(`${row.text('registry_uid')} ${row.text('digest')}`);
  const right = new Map<string, number>();
  const add = (registryUid: string, bytes: number) => right.set(registryUid, (right.get(registryUid) ?? 0) + bytes);
  for (const { at, bytes } of facts.sizes.values()) add(facts.repositories.get(at)?.registryUid ?? '', bytes);
  for (const key of inUse) add(key.split(' ')[0] ?? '', sizeOf.get(key) ?? 0);
  const told = new Map<string, number>();
  for await (const row of readRows(source, 'registry_usage')) told.set(row.text('registry_uid'), row.number('bytes'));
  const registries = [
    ...new Set([...right.keys(), ...told.keys(), ...[...counted].map((key) => key.split(' ')[0] ?? '')]),
  ];
  return registries.flatMap((registryUid) => {
    const ofRegistry = (keys: ReadonlySet<string>, others: ReadonlySet<string>) =>
      [...keys]
        .filter((key) => key.startsWith(`${registryUid} `) && !others.has(key))
        .map((key) => key.slice(registryUid.length + 1));
    const [bytes, rightBytes] = [told.get(registryUid) ?? 0, right.get(registryUid) ?? 0];
    const [unused, uncounted] = [ofRegistry(counted, inUse), ofRegistry(inUse, counted)];
    if (bytes === rightBytes && unused.length + uncounted.length === 0) return [];
    return [{ kind: 'usageWrong' as const, registryUid, bytes, rightBytes, unused, uncounted }];
  });
}
