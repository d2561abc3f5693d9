import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from 'kysely';
import { bodyOf, heldBody } from '../../../test/support/bodies.ts';
import {
  type ContentBench,
  contentBench,
  contentProcess,
  fullAuthority,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference } from '../../core/reference.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from './place.ts';

forEachDatabase((_, open) => {
  let bench: ContentBench;
  /** Rights that were decided at an old epoch; `decide` is what a new decision does. */
  const decidedAt = (epoch: number, decide: (current: number) => Promise<void>): Authority => {
    let decided = epoch;
    return fullAuthority('somebody', {
      epoch: () => decided,
      confirm: async (current) => {
        await decide(current);
        decided = current;
      },
    });
  };
  const withdrawn = (epoch: number) =>
    decidedAt(epoch, async () => {
      throw new BerthError('denied');
    });
  const currentEpoch = async () =>
    (await bench.database.read.selectFrom('tenants').select('access_epoch').executeTakeFirstOrThrow()).access_epoch;

  before(async () => {
    bench = await contentBench(open);
  });
  after(() => bench.folder.remove());

  test('a change at the epoch it was allowed at runs once, without a second decision', async () => {
    let runs = 0;
    const authority = decidedAt(await currentEpoch(), async () => assert.fail('decided again'));
    const result = await bench.here.change(bench.place('app'), authority, async ({ repositoryUid }) => {
      runs += 1;
      return repositoryUid;
    });
    assert.equal(result, undefined, 'the repository does not exist yet');
    assert.equal(runs, 1);
  });

  test('a change at an older epoch is decided again, then runs', async () => {
    const epochs: number[] = [];
    const authority = decidedAt(await currentEpoch(), async (current) => {
      epochs.push(current);
    });
    await bench.raiseEpoch();
    await bench.raiseEpoch();
    await bench.here.change(bench.place('app'), authority, async () => {});
    assert.deepEqual(epochs, [await currentEpoch()]);
  });

  test('rights that go on moving are decided until they hold still', async () => {
    let decisions = 0;
    const authority = decidedAt(await currentEpoch(), async () => {
      decisions += 1;
      if (decisions < 3) await bench.raiseEpoch();
    });
    await bench.raiseEpoch();
    await bench.here.change(bench.place('app'), authority, async () => {});
    assert.equal(decisions, 3);
  });

  test('a right withdrawn before the change writes nothing and tells nobody', async () => {
    const place = bench.place('withdrawn');
    const [config, other] = [sampleBlob('config'), sampleBlob('other')];
    await bench.push(place, config);
    const epoch = await currentEpoch();
    await bench.raiseEpoch();
    const stream = streamOf(bench.registryUid, 'test');
    const head = await bench.here.journal.head(stream);
    const files = (await bench.stored()).length;
    const image = sampleImage([config]);
    const { manifests, uploads, blobs } = bench.here;
    const push = {
      body: image.bytes,
      contentType: image.mediaType,
      reference: parseReference('latest'),
      tags: [],
    } as const;
    const session = uploads.session(uploads.begin(place, withdrawn(epoch), 'sha256').ticket, place, withdrawn(epoch));
    const changes: readonly [what: string, change: () => Promise<unknown>][] = [
      ['push a manifest', () => manifests.push(place, withdrawn(epoch), push)],
      ['push a blob', () => uploads.push(place, withdrawn(epoch), other.digest, bodyOf(other.bytes))],
      ['push a blob that is here', () => uploads.push(place, withdrawn(epoch), config.digest, bodyOf(config.bytes))],
      [
        'send a chunk',
        () => uploads.append(session, withdrawn(epoch), { body: bodyOf(other.bytes), range: undefined }),
      ],
      ['mount', () => blobs.mount(bench.place('target'), withdrawn(epoch), config.digest, place.repository)],
      ['delete a blob', () => blobs.remove(place, withdrawn(epoch), config.digest)],
      ['delete a tag', () => manifests.remove(place, withdrawn(epoch), parseReference('latest'))],
      ['read a blob', () => blobs.find(place, config.digest, withdrawn(epoch))],
      ['read a manifest', () => manifests.find(place, parseReference('latest'), withdrawn(epoch))],
      ['ask for an offset', () => uploads.offset(session, withdrawn(epoch))],
    ];
    for (const [what, change] of changes) await assert.rejects(change, { error: 'denied' }, what);
    assert.deepEqual(await bench.here.journal.head(stream), head);
    assert((await bench.pull(place, config.digest)).equals(config.bytes));
    assert.equal((await bench.stored()).length, files + 1, 'only the blob whose row was refused waits for the sweep');
    const names = await bench.database.read.selectFrom('repositories').select('name').execute();
    assert(!names.some(({ name }) => name === 'target'));
  });

  /** Of a repository, as another process does it. */
  const setLocks = async ({ repository }: Place, locks: number) =>
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('repositories').set({ locks }).where('name', '=', repository).execute();
    });

  test('what another process has changed since the last change of a repository holds for the next', async () => {
    const place = bench.place('shared');
    await bench.push(place, sampleBlob('config'));
    let runs = 0;
    const authority = decidedAt(await currentEpoch(), async () => assert.fail('decided again'));
    const change = async () =>
      await bench.here.change(place, authority, async ({ repositoryLocks }) => {
        runs += 1;
        if (repositoryLocks !== 0) throw new BerthError('contentLocked');
        return 'done';
      });
    assert.equal(await change(), 'done');
    await setLocks(place, 2);
    await assert.rejects(change, { error: 'contentLocked' });
    await assert.rejects(change, { error: 'contentLocked' });
    await setLocks(place, 0);
    assert.equal(await change(), 'done');
    runs = 0;
    assert.equal(await change(), 'done');
    assert.equal(runs, 1, 'what nobody has changed is not done twice');
  });

  test('a change whose statement fails by what is so no longer runs anew', async () => {
    const place = bench.place('renewed');
    await bench.push(place, sampleBlob('config'));
    const change = async () =>
      await bench.here.change(place, fullAuthority(), async ({ tx, repositoryLocks }) => {
        if (repositoryLocks === 0) await sql`select 1 from nowhere`.execute(tx);
        return repositoryLocks;
      });
    await assert.rejects(change, /nowhere/);
    await bench.here.change(place, fullAuthority(), async () => {});
    let runs = 0;
    const failing = async () =>
      await bench.here.change(place, fullAuthority(), async ({ tx }) => {
        runs += 1;
        await sql`select 1 from nowhere`.execute(tx);
      });
    if (bench.database.kind === 'postgres') await assert.rejects(failing, /nowhere/);
    assert(runs <= 2, 'once by what was known, once by what is');
    await setLocks(place, 4);
    assert.equal(await change(), 4);
  });

  /** An upload during whose body another process makes its repository, with these locks. */
  const pushIntoRepositoryMadeMeanwhile = async (name: string, locks: number) => {
    const place = bench.place(name);
    const [own, others] = [sampleBlob(`${name} own`), sampleBlob(`${name} others`)];
    const { uploads } = bench.here;
    const { ticket } = uploads.begin(place, fullAuthority(), 'sha256');
    const { begun, release, body } = heldBody(own.bytes);
    const pushed = uploads.finish(uploads.session(ticket, place, fullAuthority()), fullAuthority(), own.digest, {
      body,
      range: undefined,
    });
    pushed.catch(() => {});
    await begun;
    const there = contentProcess({ database: bench.database, folder: bench.folder.path });
    await there.uploads.push(place, fullAuthority(), others.digest, bodyOf(others.bytes));
    await setLocks(place, locks);
    release();
    await pushed;
    for (const { digest } of [own, others]) await bench.here.blobs.find(place, digest, fullAuthority());
  };

  test('an upload goes into the repository that somebody else has made since it began', async () => {
    await pushIntoRepositoryMadeMeanwhile('made-meanwhile', 0);
    const rows = await bench.database.read
      .selectFrom('repositories')
      .where('name', '=', 'made-meanwhile')
      .select('uid')
      .execute();
    assert.equal(rows.length, 1);
  });

  test('an upload is refused by the lock of a repository that somebody else has made since it began', async () => {
    await assert.rejects(pushIntoRepositoryMadeMeanwhile('locked-meanwhile', 2), { error: 'contentLocked' });
  });

  test('a failed change is rolled back, events and all', async () => {
    const stream = streamOf(bench.registryUid, 'test');
    const head = await bench.here.journal.head(stream);
    const event = { stream, type: 'test', version: 1, actor: 'x', data: {} };
    const failing = bench.here.change(bench.place('app'), fullAuthority(), async ({ append }) => {
      append(event);
      throw new BerthError('manifestInvalid');
    });
    await assert.rejects(failing, { error: 'manifestInvalid' });
    assert.deepEqual(await bench.here.journal.head(stream), head);
  });

  test('a registry that is gone is unknown', async () => {
    const change = bench.here.change({ ...bench.place('app'), registryUid: 'x' }, fullAuthority(), async () => {});
    await assert.rejects(change, { error: 'registryUnknown' });
  });
});
