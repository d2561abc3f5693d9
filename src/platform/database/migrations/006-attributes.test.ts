import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleRegistries } from '../../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../../test/support/databases.ts';
import type { Database, Transaction } from '../database.ts';
import { attributesMigration } from './006-attributes.ts';

forEachDatabase((kind, open) => {
  test('content of an installation made before counts, each blob once, and has no locks', async () => {
    const database = await open();
    const { registryUid, otherUid } = await sampleRegistries(database);
    await undo(database);
    await database.transaction(async (tx) => {
      await fillRepository(tx, registryUid, 'one', { shared: 1000, own: 200, idle: 30 }, ['shared', 'own']);
      await fillRepository(tx, registryUid, 'two', { shared: 1000 }, ['shared', 'elsewhere']);
      await fillRepository(tx, otherUid, 'three', { elsewhere: 7 }, []);
    });
    await database.transaction((tx) => attributesMigration(kind).up(tx));
    const used = await database.read.selectFrom('registry_usage').selectAll().execute();
    assert.deepEqual(
      new Map(used.map((row) => [row.registry_uid, row.bytes])),
      new Map([
        [registryUid, 1000 + 200 + 2 * 11],
        [otherUid, 11],
      ]),
    );
    const blobs = await database.read
      .selectFrom('referenced_blobs')
      .select(['digest', 'size'])
      .orderBy('digest')
      .execute();
    assert.deepEqual(
      blobs.map(({ digest, size }) => [digest, size]),
      [
        ['own', 200],
        ['shared', 1000],
      ],
    );
    const locks = await database.read.selectFrom('manifests').select('locks').execute();
    assert.deepEqual(
      locks.map((row) => row.locks),
      [0, 0, 0],
    );
  });
});

/** Back to what was before. */
async function undo(database: Database): Promise<void> {
  await database.transaction(async (tx) => {
    for (const table of ['manifest_facts', 'referenced_blobs', 'registry_usage'])
      await tx.schema.dropTable(table).execute();
    for (const index of ['tags_time', 'manifests_time']) await tx.schema.dropIndex(index).execute();
    for (const table of ['repositories', 'manifests', 'tags'])
      await tx.schema.alterTable(table).dropColumn('locks').execute();
    await tx.schema.alterTable('registries').dropColumn('immutable_tags').execute();
  });
}

/** A repository that shows these blobs, and one manifest of 11 bytes that references some. Digests are short names. */
async function fillRepository(
  tx: Transaction,
  registry_uid: string,
  name: string,
  blobs: Readonly<Record<string, number>>,
  references: readonly string[],
): Promise<void> {
  const times = { created_at: 1, changed_at: 1 };
  const repository_uid = `uid of ${name}`;
  await tx
    .insertInto('repositories')
    .values({ uid: repository_uid, registry_uid, name, ...times })
    .execute();
  for (const [digest, size] of Object.entries(blobs)) {
    await tx
      .insertInto('blobs')
      .values({
        registry_uid,
        digest,
        storage_key: `${registry_uid} ${digest}`,
        size,
        stored_size: size,
        format: 'plain',
        scope: '',
        state: 'ready',
        created_at: 1,
        grace_until: 0,
        checksums: new Uint8Array(4),
      })
      .onConflict((conflict) => conflict.columns(['registry_uid', 'digest']).doNothing())
      .execute();
    await tx.insertInto('blob_links').values({ repository_uid, digest, created_at: 1 }).execute();
  }
  await tx
    .insertInto('manifests')
    .values({
      repository_uid,
      digest: 'manifest',
      media_type: 'application/vnd.oci.image.manifest.v1+json',
      artifact_type: null,
      size: 11,
      subject_digest: null,
      annotations: null,
      ...times,
      body: new Uint8Array(11),
    })
    .execute();
  for (const digest of references)
    await tx
      .insertInto('manifest_references')
      .values({ repository_uid, manifest_digest: 'manifest', digest, kind: 'blob' })
      .execute();
}
