import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { lockBits } from './attributes.ts';
import { createAuthorizedChanges } from './authorized-change.ts';
import { maxMoves, TagMoves } from './tag-moves.ts';

const me = fullAuthority('me');

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let moves: TagMoves;
  let count = 0;

  before(async () => {
    bench = await contentBench(open, { isSparseAllowed: true });
    const { database, journal } = bench.here;
    const changes = createAuthorizedChanges(database, journal);
    moves = new TagMoves({ ...bench.here, changes, region: testRegion });
  });
  after(() => bench.folder.remove());

  const fresh = () => {
    count += 1;
    return `team/app${count}`;
  };
  const push = async (repository: string, ...tags: string[]): Promise<Digest> => {
    const { bytes: body, mediaType: contentType, digest } = sampleImage([sampleBlob()]);
    const reference = parseReference(digest);
    const manifest = { body, contentType, reference, tags: tags.map(parseTag) };
    await bench.here.manifests.push(bench.place(repository), me, manifest);
    return digest;
  };
  const move = (repository: string, tag: string, digest: Digest | undefined, expected?: Digest | null) => ({
    repository: parseRepositoryName(repository),
    tag: parseTag(tag),
    digest,
    expected,
  });
  const apply = async (...wanted: readonly ReturnType<typeof move>[]) =>
    await moves.apply(bench.registryUid, wanted, () => me);
  const at = async (repository: string, tag: string) => {
    const { manifests } = bench.here;
    const found = await manifests.find(bench.place(repository), parseReference(tag), me).catch(() => undefined);
    return found?.digest;
  };

  test('tags of several repositories move together, one is made and one taken away', async () => {
    const [one, other] = [fresh(), fresh()];
    const [oldOne, oldOther] = [await push(one, 'prod', 'old'), await push(other, 'prod')];
    const [newOne, newOther] = [await push(one), await push(other)];
    const moved = await apply(
      move(other, 'prod', newOther, oldOther),
      move(one, 'prod', newOne, oldOne),
      move(one, 'new', newOne, null),
      move(one, 'old', undefined),
    );
    assert.deepEqual(
      moved.map(({ repository, tag, previous }) => [repository, tag, previous]),
      [
        [other, 'prod', oldOther],
        [one, 'prod', oldOne],
        [one, 'new', undefined],
        [one, 'old', oldOne],
      ],
    );
    assert.deepEqual(
      [await at(one, 'prod'), await at(one, 'new'), await at(one, 'old'), await at(other, 'prod')],
      [newOne, newOne, undefined, newOther],
    );
  });

  test('one tag that points elsewhere than expected keeps all where they are, and every such tag is named', async () => {
    const [one, other] = [fresh(), fresh()];
    const [first, second] = [await push(one, 'prod'), await push(other, 'prod')];
    const [next, wrong] = [await push(one), await push(other)];
    await assert.rejects(
      apply(move(one, 'prod', next, first), move(other, 'prod', wrong, wrong), move(other, 'new', wrong, wrong)),
      (error) => {
        assert(error instanceof BerthError);
        assert.equal(error.error, 'tagMoved');
        assert.deepEqual(error.detail, [
          { repository: other, tag: 'prod', expected: wrong, actual: second },
          { repository: other, tag: 'new', expected: wrong, actual: null },
        ]);
        return true;
      },
    );
    await assert.rejects(apply(move(one, 'prod', next, null)), { error: 'tagMoved' });
    assert.deepEqual([await at(one, 'prod'), await at(other, 'prod')], [first, second]);
  });

  test('a manifest of another repository, or of none, cannot be pointed to', async () => {
    const [one, other] = [fresh(), fresh()];
    const [here, there] = [await push(one, 'prod'), await push(other)];
    await assert.rejects(apply(move(one, 'prod', there)), { error: 'manifestUnknown' });
    await assert.rejects(apply(move('nobody/knows', 'prod', there)), { error: 'manifestUnknown' });
    assert.equal(await at(one, 'prod'), here);
  });

  test('a locked tag among them keeps all where they are', async () => {
    const [one, other] = [fresh(), fresh()];
    const [first, locked] = [await push(one, 'prod'), await push(other, 'prod')];
    const [next, never] = [await push(one), await push(other)];
    await bench.database.transaction((tx) =>
      tx.updateTable('tags').set({ locks: lockBits.writeEnabled }).where('digest', '=', locked).execute(),
    );
    const error = { error: 'contentLocked' };
    await assert.rejects(apply(move(one, 'prod', next), move(other, 'prod', never)), error);
    await assert.rejects(apply(move(one, 'prod', next), move(other, 'prod', undefined)), error);
    assert.equal(await at(one, 'prod'), first);
  });

  test('a tag that points there already makes no event, the others are told as pushes are', async () => {
    const one = fresh();
    const digest = await push(one, 'here');
    const stream = streamOf(bench.registryUid, testRegion);
    const head = await bench.here.journal.head(stream);
    await apply(move(one, 'here', digest), move(one, 'there', digest), move(one, 'nowhere', undefined));
    const events = await bench.here.journal.after(head, 10);
    assert.deepEqual(
      events.map(({ type, data }) => [type, data.tag ?? data.tags]),
      [
        ['manifest.pushed', ['there']],
        ['tag.set', 'there'],
      ],
    );
  });

  test('none, too many and a tag named twice are refused', async () => {
    const one = fresh();
    const digest = await push(one);
    const error = { error: 'requestInvalid' };
    await assert.rejects(apply(), error);
    await assert.rejects(apply(move(one, 'x', digest), move(one, 'x', undefined)), error);
    const many = Array.from({ length: maxMoves + 1 }, (_, index) => move(one, `t${index}`, digest));
    await assert.rejects(apply(...many), error);
    assert.equal((await apply(...many.slice(1))).length, maxMoves);
  });

  test('of releases that cross each other at once, each is whole', async () => {
    const [one, other] = [fresh(), fresh()];
    const versions = [];
    for (let index = 0; index < 8; index += 1) versions.push([await push(one), await push(other)] as const);
    const another = await bench.another();
    const changes = createAuthorizedChanges(another.database, another.journal);
    const there = new TagMoves({ ...another, changes, region: testRegion });
    await Promise.all(
      versions.map(async ([a, b], index) => {
        const pair = [move(one, 'prod', a), move(other, 'prod', b)];
        const from = index % 2 === 0 ? moves : there;
        await from.apply(bench.registryUid, index % 3 === 0 ? pair.reverse() : pair, () => me);
      }),
    );
    const last = await at(one, 'prod');
    const [, partner] = versions.find(([a]) => a === last) ?? [];
    assert(partner !== undefined);
    assert.equal(await at(other, 'prod'), partner);
  });
});
