import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  type ContentBench,
  contentBench,
  contentProcess,
  fullAuthority,
  quietLog,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { AuthorizedChange } from '../content/authorized-change.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { dropDeleted } from './deleted-expiry.ts';
import { Restores } from './restores.ts';

const isLong = process.env.BERTH_TEST_LONG === '1';
const count = isLong ? 33_000 : 700;
/** More than either database takes in one statement, were they named in it with what is said of each. */
const tagCount = 17_000;
/** Of a statement, whatever the count: PostgreSQL takes 65,535, SQLite 32,766. */
const mostParameters = 650;
/** To delete a signature twice, restore it and drop it for good; with what each transaction begins with. */
const mostStatementsEach = 1.25;
/** Of a transaction. */
const mostDeleted = 50;
const mostRestored = 200;
const rowsAtOnce = 500;

const me = fullAuthority();
const config = sampleBlob('config');

forEachDatabase((_, open) => {
  let bench: ContentBench;
  const clock = new HeldClock(Date.now() * 1000);

  before(async () => {
    bench = await contentBench(open, { clock });
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('registries').set({ keeps_deleted: 1 }).execute();
    });
  });
  after(() => bench.folder.remove());

  test(`an image with ${count} signatures is deleted, restored and dropped in slices`, async (t) => {
    const at = bench.place('signed');
    const image = await pushImage(bench, at, 'v1');
    const repositoryUid = await uidOf(bench.database, at);
    await fillSignatures(bench, repositoryUid, image);
    const before = await usage(bench.database);
    const { parts, transactions, parameters, statements } = watched(bench, clock);
    const deletions = new Deletions(parts);

    await deletions.manifest(at, me, image.digest);
    assert.deepEqual(await counts(bench.database, repositoryUid), { served: 0, kept: count + 1 });
    assert.equal(await usage(bench.database), before);
    assert(transactions() >= count / mostDeleted, `${transactions()} transactions`);

    const ofDeletion = transactions();
    await new Restores(parts).restore(at, me, { digest: image.digest, tag: parseTag('v1'), isForced: false });
    assert.deepEqual(await counts(bench.database, repositoryUid), { served: count + 1, kept: 0 });
    assert.equal(await usage(bench.database), before);
    assert(transactions() - ofDeletion >= count / mostRestored, `${transactions() - ofDeletion} transactions`);

    await deletions.manifest(at, me, image.digest);
    assert.equal(await dropDeleted({ ...parts, log: quietLog }, at, me), count + 1);
    assert.deepEqual(await counts(bench.database, repositoryUid), { served: 0, kept: 0 });
    assert.equal(await usage(bench.database), 0);
    assert(parameters() <= mostParameters, `a statement with ${parameters()} parameters`);
    assert(statements() <= mostStatementsEach * count, `${statements()} statements for ${count} signatures`);
    t.diagnostic(`${(statements() / count).toFixed(2)} statements a signature`);
  });

  test(`an image with ${tagCount} tags is deleted, and comes back under one of them`, async () => {
    const at = bench.place('tagged');
    const image = await pushImage(bench, at, 'v1');
    const repositoryUid = await uidOf(bench.database, at);
    await fillTags(bench, repositoryUid, image);
    const { parts, parameters } = watched(bench, clock);
    await new Deletions(parts).manifest(at, me, image.digest);
    await new Restores(parts).restore(at, me, { digest: image.digest, tag: parseTag('t7'), isForced: false });
    const left = await bench.database.read
      .selectFrom('deleted_tags')
      .where('repository_uid', '=', repositoryUid)
      .select((on) => on.fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow();
    assert.equal(Number(left.count), tagCount);
    assert(parameters() <= mostParameters, `a statement with ${parameters()} parameters`);
  });
});

/** The process of the bench, whose transactions and statements are counted, and the largest of these. */
function watched(bench: ContentBench, clock: HeldClock) {
  let [most, begun, sent] = [0, 0, 0];
  const plugin: Parameters<Database['read']['withPlugin']>[0] = {
    transformQuery: ({ node, queryId }) => {
      const { sql, parameters } = bench.database.read.getExecutor().compileQuery(node, queryId);
      sent += 1;
      // The journal has a limit of its own.
      if (!sql.includes('journal_events')) most = Math.max(most, parameters.length);
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  const database: Database = {
    ...bench.database,
    read: bench.database.read.withPlugin(plugin),
    transaction: (work, options) => bench.database.transaction((tx) => work(tx.withPlugin(plugin)), options),
  };
  const process = contentProcess({ database, folder: bench.folder.path, clock });
  const change: AuthorizedChange = async (...given) => {
    begun += 1;
    return await process.change(...given);
  };
  return {
    parts: { ...process, change, region: testRegion },
    transactions: () => begun,
    parameters: () => most,
    statements: () => sent,
  };
}

async function pushImage(bench: ContentBench, at: Place, tag: string): Promise<SampleManifest> {
  await bench.push(at, config);
  const image = sampleImage([config], { annotations: { of: at.repository } });
  const push = { body: image.bytes, contentType: image.mediaType, reference: parseReference(tag), tags: [] };
  await bench.here.manifests.push(at, me, push);
  return image;
}

/** As rows: pushing them would take most of the time. */
async function fillSignatures(bench: ContentBench, repositoryUid: string, image: SampleManifest): Promise<void> {
  const subject = descriptorOf(image, image.mediaType);
  const nowMicros = bench.here.clock.nowMicros();
  for (let start = 0; start < count; start += rowsAtOnce) {
    const length = Math.min(rowsAtOnce, count - start);
    const some = Array.from({ length }, (_, n) =>
      sampleImage([config], { subject, annotations: { n: `${start + n}` } }),
    );
    await bench.database.transaction(async (tx) => {
      await tx
        .insertInto('manifests')
        .values(
          some.map(({ bytes, mediaType, digest }) => ({
            repository_uid: repositoryUid,
            digest,
            media_type: mediaType,
            artifact_type: null,
            size: bytes.length,
            subject_digest: image.digest,
            annotations: null,
            created_at: nowMicros,
            changed_at: nowMicros,
            body: bytes,
          })),
        )
        .execute();
      await tx
        .insertInto('manifest_references')
        .values(
          some.map(({ digest }) => ({
            repository_uid: repositoryUid,
            manifest_digest: digest,
            digest: config.digest,
            kind: 'blob',
          })),
        )
        .execute();
      const bytes = some.reduce((sum, each) => sum + each.bytes.length, 0);
      await tx
        .updateTable('registry_usage')
        .set((set) => ({ bytes: set('bytes', '+', bytes) }))
        .execute();
    });
  }
}

async function fillTags(bench: ContentBench, repositoryUid: string, { digest }: SampleManifest): Promise<void> {
  const nowMicros = bench.here.clock.nowMicros();
  const common = { repository_uid: repositoryUid, digest, hybrid_time: nowMicros, region: testRegion };
  const times = { created_at: nowMicros, changed_at: nowMicros };
  for (let start = 0; start < tagCount; start += rowsAtOnce) {
    const some = Array.from({ length: Math.min(rowsAtOnce, tagCount - start) }, (_, n) => `t${start + n}`);
    await bench.database.transaction(async (tx) => {
      await tx
        .insertInto('tags')
        .values(some.map((name) => ({ ...common, ...times, name })))
        .execute();
    });
  }
}

async function uidOf({ read }: Database, { repository }: Place): Promise<string> {
  const query = read.selectFrom('repositories').where('name', '=', repository).select('uid');
  return (await query.executeTakeFirstOrThrow()).uid;
}

async function usage({ read }: Database): Promise<number> {
  const row = await read.selectFrom('registry_usage').select('bytes').executeTakeFirst();
  return row?.bytes ?? 0;
}

async function counts({ read }: Database, repositoryUid: string) {
  const countIn = async (table: 'manifests' | 'deleted_manifests') => {
    const row = await read
      .selectFrom(table)
      .where('repository_uid', '=', repositoryUid)
      .select((on) => on.fn.countAll<number | string>().as('count'))
      .executeTakeFirstOrThrow();
    return Number(row.count);
  };
  return { served: await countIn('manifests'), kept: await countIn('deleted_manifests') };
}
