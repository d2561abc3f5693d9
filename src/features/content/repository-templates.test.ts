import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { repositoryTemplatesSetSchema } from '../../wire/admin/repository-template-schema.ts';
import { Deletions } from './deletions.ts';
import { Metadata } from './metadata.ts';
import type { Place } from './place.ts';
import { RepositoryTemplates } from './repository-templates.ts';

const me = fullAuthority();
const config = sampleBlob('config');

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let deletions: Deletions;
  before(async () => {
    bench = await contentBench(open);
    deletions = new Deletions({ ...bench.here, region: testRegion });
  });
  after(() => bench.folder.remove());

  const set = async (templates: readonly object[], appliesToExisting = false) =>
    await new RepositoryTemplates({ ...bench.here, region: testRegion }).replace({
      ...repositoryTemplatesSetSchema.parse({ templates, appliesToExisting }),
      registryUid: bench.registryUid,
      tenantUid: bench.tenantUid,
      actor: 'me',
    });
  const push = async (at: Place, tag: string, n: string = tag) => {
    await bench.push(at, config);
    const { bytes, mediaType } = sampleImage([config], { annotations: { n } });
    await bench.here.manifests.push(at, me, {
      body: bytes,
      contentType: mediaType,
      reference: parseReference(tag),
      tags: [],
    });
  };
  const attributes = async (at: Place) => (await new Metadata(bench.here).repository(at, me)).attributes;

  test('a repository begins with what the template of the longest prefix says, and keeps it', async () => {
    await push(bench.place('prod/early'), 'v1');
    await set([
      { prefix: '', attributes: { listEnabled: false } },
      { prefix: 'prod/', attributes: { deleteEnabled: false }, immutableTags: [{ tags: 'v*' }] },
    ]);
    const [early, late, other] = ['prod/early', 'prod/late', 'dev/app'].map((name) => bench.place(name));
    assert(early && late && other);
    await push(late, 'v1');
    await push(other, 'v1');
    assert.equal((await attributes(early)).deleteEnabled, true, 'what was there stays');
    assert.deepEqual([(await attributes(late)).deleteEnabled, (await attributes(late)).listEnabled], [false, true]);
    assert.equal((await attributes(other)).listEnabled, false);
    await assert.rejects(push(late, 'v1', 'another'), { error: 'tagImmutable' });
    await assert.rejects(deletions.repository(late, me), { error: 'contentLocked' });
    await push(late, 'latest');
    await push(late, 'latest', 'another');
    await push(early, 'v1', 'another');
    await set([]);
    await assert.rejects(push(late, 'v1', 'another'), { error: 'tagImmutable' });
    await set([], true);
    await push(late, 'v1', 'another');
  });

  test('the very first push is bound by the rules, and a repository that comes back begins anew', async () => {
    await set([{ prefix: 'once/', immutableTags: [{ tags: '*', deletes: 'allowed' }] }]);
    const at = bench.place('once/app');
    const pushes = await Promise.allSettled([push(at, 'v1', 'one'), push(at, 'v1', 'two'), push(at, 'v1', 'three')]);
    assert.equal(pushes.filter(({ status }) => status === 'fulfilled').length, 1);
    await set([{ prefix: 'once/', attributes: { listEnabled: false } }]);
    await deletions.repository(at, me);
    await push(at, 'v1', 'four');
    assert.equal((await attributes(at)).listEnabled, false);
    await push(at, 'v1', 'five');
    await deletions.tag(at, me, parseTag('v1'));
  });

  const once = [{ prefix: '', immutableTags: [{ tags: 'v*' }] }];
  const move = async (at: Place, n: string) => {
    const { bytes, mediaType } = sampleImage([config], { annotations: { n } });
    const reference = parseReference('v1');
    await bench.here.manifests.push(at, me, { body: bytes, contentType: mediaType, reference, tags: [] });
  };

  test('rules that were applied to what exists hold for every push that ends after the answer', async () => {
    const digestOf = async (at: Place) => (await bench.here.manifests.find(at, parseReference('v1'), me)).digest;
    for (let round = 0; round < 8; round += 1) {
      await set([], true);
      const at = bench.place(`moving/${round}`);
      await push(at, 'v1', `first of ${round}`);
      const pushers = ['a', 'b'].map(async (who) => {
        for (let n = 0; n < 200; n += 1) await move(at, `${who} ${round} ${n}`);
      });
      const refused = pushers.map((pusher) => assert.rejects(pusher, { error: 'tagImmutable' }));
      await set(once, true);
      const digest = await digestOf(at);
      await Promise.all(refused);
      assert.equal(await digestOf(at), digest);
    }
  });

  test('a repository whose first push is under way takes the rules over as well', async () => {
    for (let round = 0; round < 8; round += 1) {
      await set([], true);
      const places = Array.from({ length: 8 }, (_, n) => bench.place(`first/${round}/${n}`));
      const pushes = places.map((at) => bench.push(at, config));
      await set(once, true);
      await Promise.all(pushes);
      const rows = await bench.database.read
        .selectFrom('repositories')
        .where('name', 'like', `first/${round}/%`)
        .where('immutable_tags', '=', '[]')
        .select('name')
        .execute();
      assert.deepEqual(rows, []);
    }
  });

  /** For what exists as well, by a process that ends after the first repositories. */
  const setAndEnd = async (templates: readonly object[]) => {
    const killed = Promise.withResolvers<void>();
    let isFirst = true;
    const database: Database = {
      ...bench.database,
      transaction: async (work, options) => {
        if (!isFirst) {
          killed.resolve();
          await new Promise(() => {});
        }
        isFirst = false;
        return await bench.database.transaction(work, options);
      },
    };
    void new RepositoryTemplates({ ...bench.here, region: testRegion, database }).replace({
      ...repositoryTemplatesSetSchema.parse({ templates, appliesToExisting: true }),
      registryUid: bench.registryUid,
      tenantUid: bench.tenantUid,
      actor: 'me',
    });
    await killed.promise;
  };
  const finish = async () => {
    const later = new HeldClock(bench.here.clock.nowMicros() + 61_000_000);
    const job = { signal: new AbortController().signal, renew: async () => {} };
    await new RepositoryTemplates({ ...bench.here, region: testRegion, clock: later }).finish(job);
  };
  const unprotected = async (names: readonly string[]) => {
    const rows = await bench.database.read
      .selectFrom('repositories')
      .where('name', 'in', names)
      .where('immutable_tags', '=', '[]')
      .select('name')
      .execute();
    return rows.map(({ name }) => name);
  };

  test('rules for what exists reach every repository, also when the process is killed on the way', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `many/r${String(index).padStart(2, '0')}`);
    for (const name of names) await push(bench.place(name), 'v1');
    await setAndEnd([{ prefix: 'many/', immutableTags: [{ tags: 'v*' }] }]);
    const head = await bench.here.journal.head(streamOf(bench.registryUid, testRegion));
    const [event] = await bench.here.journal.after({ ...head, seq: head.seq - 1 }, 1);
    assert.equal(event?.data.appliesToExisting, true, 'the journal says so');
    await finish();
    assert.deepEqual(await unprotected(names), []);
    const walks = bench.database.read
      .selectFrom('walks')
      .where('name', '>=', 'templates ')
      .where('name', '<', 'templates!');
    assert.deepEqual(await walks.select('name').execute(), []);
  });

  test('templates that are not for what exists leave it the rules of an application that was cut off', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `cut/r${String(index).padStart(2, '0')}`);
    for (const name of names) await push(bench.place(name), 'v1');
    await set([], true);
    await setAndEnd(once);
    await set([]);
    await finish();
    assert.deepEqual(await unprotected(names), []);
    await push(bench.place('cut/fresh'), 'v1');
    assert.deepEqual(await unprotected(['cut/fresh']), ['cut/fresh']);
  });
});
