import type { SQLInputValue } from 'node:sqlite';
import { parseManifest } from '../../core/manifest.ts';
import type { InventoryLine, LineOf } from './inventory-line.ts';

/** What a store says of itself; `wanted` are the blobs that manifests name, `blobs` and `digests` what is there. */
export const foundSchema = `
  create table registries (uid text primary key, name text, sku text, written_at integer) strict;
  create table repositories (registry text, name text, locks integer, created_at integer, changed_at integer,
    primary key (registry, name)) strict;
  create table manifests (registry text, repository text, digest text, media_type text, locks integer, created_at integer,
    changed_at integer, body text, primary key (registry, repository, digest)) strict;
  create table tags (registry text, repository text, name text, digest text, hybrid_time integer, region text, locks integer,
    created_at integer, changed_at integer, primary key (registry, repository, name)) strict;
  create table wanted (registry text, repository text, digest text, manifest text,
    primary key (registry, repository, digest, manifest)) strict;
  create table blobs (key text primary key, size integer, checksums blob, owner text) strict;
  create table digests (digest text, key text, primary key (digest, key)) strict;
`;

type Statement = readonly [sql: string, ...values: SQLInputValue[]];

/** What one statement of the inventory of a registry changes. */
export function statementsOf(registry: string, line: InventoryLine): Statement[] {
  switch (line.kind) {
    case 'registry':
      return [['replace into registries values (?, ?, ?, ?)', line.uid, line.name, line.sku, line.writtenAt]];
    case 'repository': {
      const { repository, locks, createdAt, changedAt } = line;
      return [['replace into repositories values (?, ?, ?, ?, ?)', registry, repository, locks, createdAt, changedAt]];
    }
    case 'repositoryGone':
      return [
        ...['manifests', 'tags', 'wanted'].map(
          (table): Statement => [
            `delete from ${table} where registry = ? and repository = ?`,
            registry,
            line.repository,
          ],
        ),
        ['delete from repositories where registry = ? and name = ?', registry, line.repository],
      ];
    case 'manifest':
      return manifestStatements(registry, line);
    case 'manifestGone':
      return [
        [
          'delete from manifests where registry = ? and repository = ? and digest = ?',
          registry,
          line.repository,
          line.digest,
        ],
        [
          'delete from wanted where registry = ? and repository = ? and manifest = ?',
          registry,
          line.repository,
          line.digest,
        ],
      ];
    case 'tag':
      return [tagStatement(registry, line)];
    case 'tagGone':
      return [
        ['delete from tags where registry = ? and repository = ? and name = ?', registry, line.repository, line.tag],
      ];
  }
}

function manifestStatements(registry: string, line: LineOf<'manifest'>): Statement[] {
  const { repository, digest, mediaType, locks, createdAt, changedAt, body } = line;
  const values = [registry, repository, digest, mediaType, locks, createdAt, changedAt, body];
  const { blobs } = parseManifest(Buffer.from(body, 'base64'), mediaType);
  return [
    ['replace into manifests values (?, ?, ?, ?, ?, ?, ?, ?)', ...values],
    ...blobs.map(
      (blob): Statement => [
        'insert or ignore into wanted values (?, ?, ?, ?)',
        registry,
        repository,
        blob.digest,
        digest,
      ],
    ),
  ];
}

function tagStatement(registry: string, line: LineOf<'tag'>): Statement {
  const { repository, tag, digest, hybridTime, region, locks, createdAt, changedAt } = line;
  const values = [registry, repository, tag, digest, hybridTime, region, locks, createdAt, changedAt];
  return ['replace into tags values (?, ?, ?, ?, ?, ?, ?, ?, ?)', ...values];
}
