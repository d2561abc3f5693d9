import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference } from '../../core/reference.ts';
import { openPostgresSource } from '../postgres-rows.ts';
import type { RowSource } from '../rows.ts';
import { openSqliteSource } from '../sqlite-rows.ts';
import { type CheckAccount, check } from './check.ts';
import { repair } from './repair.ts';

const me = fullAuthority();

forEachDatabase((kind, open, placeOf) => {
  let bench: ContentBench;
  let opened = 0;

  before(async () => {
    bench = await contentBench(open);
    const blob = sampleBlob('layer');
    const at = bench.place('app');
    await bench.push(at, blob);
    const { bytes: body, mediaType: contentType } = sampleImage([blob]);
    await bench.here.manifests.push(at, me, { body, contentType, reference: parseReference('v1'), tags: [] });
  });
  after(() => bench.folder.remove());

  const openRows = async (): Promise<RowSource> => {
    const { location } = placeOf(bench.database);
    const source = kind === 'sqlite' ? await openSqliteSource(location) : await openPostgresSource(location);
    opened += 1;
    return {
      ...source,
      close: async () => {
        opened -= 1;
        await source.close();
      },
    };
  };
  const checked = async (list = bench.here.store.list): Promise<CheckAccount> =>
    await check({
      openRows,
      store: { list: (prefix) => list.call(bench.here.store, prefix) },
      nowMicros: bench.here.clock.nowMicros(),
      graceMs: 86_400_000,
      isSparseAllowed: false,
    });

  test('no row is held while the store is listed', async () => {
    const { findings } = await checked(async function* (prefix) {
      assert.equal(opened, 0);
      yield* bench.here.store.list(prefix);
    });
    assert.deepEqual(findings, []);
  });

  test('a stored manifest that cannot be read is told, and the others are looked at', async () => {
    const body = Buffer.from('{"schemaVersion":1}');
    const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    const { uid } = await bench.database.read.selectFrom('repositories').select('uid').executeTakeFirstOrThrow();
    await bench.database.transaction(async (tx) => {
      const nothing = { artifact_type: null, subject_digest: null, annotations: null };
      const row = { repository_uid: uid, digest, size: body.length, body, created_at: 0, changed_at: 0 };
      await tx
        .insertInto('manifests')
        .values({ ...row, ...nothing, media_type: 'application/vnd.oci.image.manifest.v1+json' })
        .execute();
    });
    const { findings, manifests } = await checked();
    assert.equal(manifests, 2);
    const told = findings.filter((finding) => finding.kind === 'manifestUnreadable');
    assert.deepEqual(told, [{ kind: 'manifestUnreadable', repositoryUid: uid, repository: 'app', digest }]);
  });

  test('counting anew takes nothing into use that was deleted since the look', async () => {
    const { digest } = sampleBlob('deleted since');
    await bench.push(bench.place('app'), sampleBlob('deleted since'));
    const { registryUid } = bench;
    const finding = {
      kind: 'usageWrong',
      registryUid,
      bytes: 0,
      rightBytes: 1,
      unused: [],
      uncounted: [digest],
    } as const;
    await repair({ ...bench.here, region: testRegion }, [finding]);
    const counted = bench.database.read.selectFrom('referenced_blobs').where('digest', '=', digest);
    assert.deepEqual(await counted.select('digest').execute(), []);
  });
});
