import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, type SampleManifest, sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { racingClock } from '../../../test/support/racing-clock.ts';
import { parseReference } from '../../core/reference.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { lifecycleRulesSchema } from '../../wire/admin/lifecycle-schema.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { Deletions } from '../content/deletions.ts';
import { LastPulls } from '../content/last-pulls.ts';
import type { Place } from '../content/place.ts';
import { Lifecycles } from './lifecycles.ts';
import type { PurgeItem } from './take-selection.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const config = sampleBlob('config');
const usual = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  let lifecycles: Lifecycles;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
    const deletions = new Deletions({ ...bench.here, region: testRegion });
    lifecycles = new Lifecycles({ ...bench.here, deletions, region: testRegion });
  });
  after(() => bench.folder.remove());

  const push = async (at: Place, manifest: SampleManifest, reference: string) => {
    await bench.push(at, config);
    const common = { body: manifest.bytes, contentType: manifest.mediaType };
    await bench.here.manifests.push(at, me, { ...common, reference: parseReference(reference), tags: [] });
  };
  const set = async (repositories: string, ...rules: readonly object[]) => {
    // Rules anew: those of the test before may be due.
    await replace(repositories);
    await replace(repositories, ...rules);
  };
  const replace = async (repositories: string, ...rules: readonly object[]) =>
    await lifecycles.set({
      registryUid: bench.registryUid,
      tenantUid: bench.tenantUid,
      rules: lifecycleRulesSchema.parse(rules.map((rule, index) => ({ name: `r${index}`, repositories, ...rule }))),
      everyMs: dayMs,
      actor: 'me',
    });
  const preview = async () =>
    await Array.fromAsync(lifecycles.preview(bench.registryUid, me, { rules: undefined, signal: usual.signal }));
  const names = (items: readonly PurgeItem[]) => items.map((each) => each.tag ?? each.digest);
  const image = (n: string) => sampleImage([config], { annotations: { n } });
  const usage = async () => {
    const row = await bench.database.read.selectFrom('registry_usage').select('bytes').executeTakeFirst();
    return row?.bytes ?? 0;
  };

  test('a run deletes what its preview lists, and frees the bytes that it says', async () => {
    const at = bench.place('exact');
    const [old, young] = [image('old'), image('young')];
    await push(at, old, 'old');
    await push(at, sampleImage([config], { subject: descriptorOf(old, old.mediaType) }), 'signed');
    await push(at, image('signature'), cosignTags(old.digest)[0] ?? '');
    clock.advance(10 * dayMs);
    await push(at, young, 'young');
    await set('exact', { action: 'deleteOlder', olderThan: '5d' }, { action: 'keepMatching', tags: 'signed' });
    const listed = await preview();
    const before = await usage();
    const { uid } = await lifecycles.ask(bench.registryUid);
    assert.equal((await lifecycles.ask(bench.registryUid)).uid, uid, 'one run at a time');
    await lifecycles.work(usual);
    const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual(names(items), names(listed.filter(({ outcome }) => outcome === 'wouldDelete')));
    assert.deepEqual(
      listed.filter(({ outcome }) => outcome === 'kept').map(({ tag, rule }) => [tag, rule]),
      [['signed', 'r1']],
    );
    const bytes = listed.reduce((sum, { freedBytes }) => sum + freedBytes, 0);
    assert(bytes > 0);
    assert.deepEqual([run.tags, run.manifests, run.freedBytes], [2, 2, bytes]);
    assert.equal(before - (await usage()), bytes);
    assert.notEqual(run.endedAtMicros, undefined);
  });

  test('runs come by themselves when the time from run to run has passed, not when rules are set', async () => {
    const at = bench.place('timed');
    await push(at, image('timed'), 'v1');
    clock.advance(10 * dayMs);
    await set('timed', { action: 'deleteOlder', olderThan: '5d' });
    const count = async () => (await lifecycles.runs(bench.registryUid)).length;
    await lifecycles.work(usual);
    const before = await count();
    await lifecycles.work(usual);
    assert.equal(await count(), before);
    clock.advance(dayMs);
    await lifecycles.work(usual);
    await lifecycles.work(usual);
    const [newest] = await lifecycles.runs(bench.registryUid);
    assert.equal(await count(), before + 1);
    assert.deepEqual(names((await lifecycles.run(bench.registryUid, newest?.uid ?? '', 0)).items)[0], 'v1');
  });

  test('a run that was cut off goes on, and has everything in its list', async () => {
    const at = bench.place('cut');
    for (let index = 0; index < 60; index += 1) await push(at, image(`cut ${index}`), `v${index}`);
    clock.advance(10 * dayMs);
    await set('cut', { action: 'deleteOlder', olderThan: '5d' });
    const listed = names(await preview());
    const { uid } = await lifecycles.ask(bench.registryUid);
    const stopped = new AbortController();
    let count = 0;
    const failpoint: Failpoint = async (name) => {
      if (name === 'delete.commit.after') count += 1;
      if (count === 55) stopped.abort();
    };
    const deletions = new Deletions({ ...bench.here, clock: racingClock(clock), failpoint, region: testRegion });
    const stopping = new Lifecycles({ ...bench.here, deletions, region: testRegion });
    await stopping.work({ ...usual, signal: stopped.signal });
    const halfway = await lifecycles.run(bench.registryUid, uid, 0);
    assert.equal(halfway.run.endedAtMicros, undefined);
    assert(halfway.items.length > 0 && halfway.items.length < listed.length);
    await lifecycles.work(usual);
    const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual(names(items).toSorted(), listed.toSorted());
    assert.deepEqual([run.tags, run.manifests], [60, 60]);
  });

  test('what clients ask for stays, whether by tag or by digest, and a pull costs no write', async () => {
    const at = bench.place('pulled');
    const [byTag, byDigest, unused] = [image('by tag'), image('by digest'), image('unused')];
    await push(at, byTag, 'by-tag');
    await push(at, byDigest, 'by-digest');
    await push(at, unused, 'unused');
    clock.advance(100 * dayMs);
    const pulls = new LastPulls(bench.here);
    pulls.note(at, byTag.digest, 'by-tag');
    pulls.note(at, byDigest.digest, undefined);
    pulls.note(at, 'sha256:gone', 'gone');
    pulls.note(bench.place('nowhere'), byTag.digest, 'by-tag');
    assert.deepEqual(await bench.database.read.selectFrom('manifest_pulls').select('digest').execute(), []);
    await pulls.close();
    await set('pulled', { action: 'deleteOlder', olderThan: '30d' }, { action: 'keepPulled', within: '7d' });
    assert.deepEqual(names((await preview()).filter(({ outcome }) => outcome === 'wouldDelete')), [
      'unused',
      unused.digest,
    ]);
    const tagged = await bench.database.read.selectFrom('tag_pulls').select(['name', 'pulled_at']).execute();
    assert.deepEqual(tagged, [{ name: 'by-tag', pulled_at: clock.nowMicros() }]);
    // An older time, from a process that wrote late, changes nothing.
    const late = new LastPulls({ ...bench.here, clock: new HeldClock(clock.nowMicros() - 1_000_000) });
    late.note(at, byTag.digest, 'by-tag');
    await late.close();
    assert.deepEqual(await bench.database.read.selectFrom('tag_pulls').select(['name', 'pulled_at']).execute(), tagged);
  });

  test('what is pulled until a run begins, or while it goes on, stays', async () => {
    const at = bench.place('pulled-late');
    const images = { a: image('a'), b: image('b'), c: image('c'), d: image('d') };
    for (const [tag, each] of Object.entries(images)) await push(at, each, tag);
    clock.advance(100 * dayMs);
    const lastPulls = new LastPulls(bench.here);
    const elsewhere = new LastPulls(bench.here);
    let isFirst = true;
    const failpoint: Failpoint = async (name) => {
      if (name !== 'delete.commit.after' || !isFirst) return;
      isFirst = false;
      lastPulls.note(at, images.c.digest, 'c');
      lastPulls.note(at, images.d.digest, undefined);
      clock.advance(2_000);
    };
    const deletions = new Deletions({ ...bench.here, clock: racingClock(clock), failpoint, region: testRegion });
    const minding = new Lifecycles({ ...bench.here, deletions, lastPulls, region: testRegion });
    await set('pulled-late', { action: 'deleteOlder', olderThan: '30d' }, { action: 'keepPulled', within: '7d' });
    elsewhere.note(at, images.b.digest, 'b');
    const { uid } = await minding.ask(bench.registryUid);
    await minding.work(usual);
    assert.equal(
      (await minding.run(bench.registryUid, uid, 0)).run.endedAtMicros,
      undefined,
      'others have yet to write',
    );
    await elsewhere.close();
    clock.advance(65_000);
    await minding.work(usual);
    const { run, items } = await minding.run(bench.registryUid, uid, 0);
    assert.notEqual(run.endedAtMicros, undefined);
    assert.deepEqual(
      items.map((each) => [each.tag ?? each.digest, each.outcome]),
      [
        ['a', 'deleted'],
        ['c', 'changed'],
        ['d', 'changed'],
        ...[images.a.digest, images.c.digest, images.d.digest]
          .toSorted()
          .map((digest) => [digest, digest === images.a.digest ? 'deleted' : 'changed']),
      ],
    );
    await lastPulls.close();
  });

  test('a run of which little leaves keeps its lease, and goes on with the next repository', async () => {
    const repositories = ['many/a', 'many/b', 'many/c', 'many/d'];
    for (const name of repositories) await push(bench.place(name), image(name), 'v1');
    await set('many/*', { action: 'deleteOlder', olderThan: '5d' });
    const deletions = new Deletions({ ...bench.here, region: testRegion });
    const slow = new Lifecycles({ ...bench.here, clock: racingClock(clock), deletions, region: testRegion });
    const { uid } = await slow.ask(bench.registryUid);
    const position = async () =>
      await bench.database.read.selectFrom('walks').where('name', 'like', 'lifecycle %').select('position').execute();
    const stopped = new AbortController();
    let renewals = 0;
    const renew = async () => {
      renewals += 1;
      if ((await position()).some((row) => row.position.includes('many/b'))) stopped.abort();
    };
    await slow.work({ signal: stopped.signal, renew });
    assert(renewals >= 8, `${renewals} renewals`);
    assert.match((await position())[0]?.position ?? '', /many\/b/);
    const before = renewals;
    await slow.work({ signal: usual.signal, renew });
    assert(renewals < before * 2, `${renewals - before} more`);
    assert.notEqual((await slow.run(bench.registryUid, uid, 0)).run.endedAtMicros, undefined);
    assert.deepEqual(await position(), []);
  });

  test('a repository that cannot be looked at is told, and holds no other up', async () => {
    const names = ['whole/a', 'whole/broken', 'whole/z'];
    for (const name of names) await push(bench.place(name), image(name), 'v1');
    clock.advance(10 * dayMs);
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('repositories').set({ immutable_tags: '{' }).where('name', '=', 'whole/broken').execute();
    });
    await set('whole/*', { action: 'deleteOlder', olderThan: '5d' });
    await assert.rejects(preview(), /repositories failed/);
    const { uid } = await lifecycles.ask(bench.registryUid);
    await lifecycles.work(usual);
    const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual(new Set(items.map(({ repository }) => repository)), new Set(['whole/a', 'whole/z']));
    assert.match(run.problem ?? '', /left out whole\/broken$/);
    assert.notEqual(run.endedAtMicros, undefined);
  });

  test('a run whose process is killed has everything in its list', async () => {
    const at = bench.place('killed');
    for (let index = 0; index < 4; index += 1) await push(at, image(`killed ${index}`), `v${index}`);
    clock.advance(10 * dayMs);
    await set('killed', { action: 'deleteOlder', olderThan: '5d' });
    const listed = await preview();
    const { uid } = await lifecycles.ask(bench.registryUid);
    const killed = Promise.withResolvers<void>();
    let count = 0;
    const failpoint: Failpoint = async (name) => {
      if (name === 'delete.commit.after') count += 1;
      if (count < 6) return;
      killed.resolve();
      await new Promise(() => {});
    };
    const deletions = new Deletions({ ...bench.here, clock: racingClock(clock), failpoint, region: testRegion });
    void new Lifecycles({ ...bench.here, deletions, region: testRegion }).work(usual);
    await killed.promise;
    assert.equal((await lifecycles.run(bench.registryUid, uid, 0)).items.length, 6);
    await lifecycles.work(usual);
    const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual(names(items), names(listed));
    assert.deepEqual([run.tags, run.manifests], [4, 4]);
    assert.equal(
      run.freedBytes,
      listed.reduce((sum, { freedBytes }) => sum + freedBytes, 0),
    );
  });

  for (const [how, next] of [
    ['taken back', []],
    [
      'replaced',
      [
        { action: 'deleteOlder', olderThan: '5d' },
        { action: 'keepMatching', tags: 'v*' },
      ],
    ],
  ] as const)
    test(`rules that are ${how} end the run that goes on by them`, async () => {
      const name = `changed-${next.length}`;
      const at = bench.place(name);
      for (let index = 0; index < 4; index += 1) await push(at, image(`${name} ${index}`), `v${index}`);
      clock.advance(10 * dayMs);
      await set(name, { action: 'deleteOlder', olderThan: '5d' });
      const { uid } = await lifecycles.ask(bench.registryUid);
      let isFirst = true;
      const failpoint: Failpoint = async (point) => {
        if (point !== 'delete.commit.after' || !isFirst) return;
        isFirst = false;
        await replace(name, ...next);
      };
      const racing = { ...bench.here, clock: racingClock(clock), region: testRegion };
      await new Lifecycles({ ...racing, deletions: new Deletions({ ...racing, failpoint }) }).work(usual);
      const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
      assert.deepEqual(names(items), ['v0']);
      assert.match(run.problem ?? '', /rules were changed/);
      assert.notEqual(run.endedAtMicros, undefined);
    });

  test('other rules wait for a look at their preview, also where a run is due', async () => {
    const runs = async () => (await lifecycles.runs(bench.registryUid)).length;
    await set('look', { action: 'deleteOlder', olderThan: '5d' });
    clock.advance(2 * dayMs);
    await replace('look', { action: 'deleteOlder', olderThan: '4d' });
    const before = await runs();
    await lifecycles.work(usual);
    assert.equal(await runs(), before);
    clock.advance(3_600_000);
    await replace('look', { action: 'deleteOlder', olderThan: '4d' });
    await lifecycles.work(usual);
    assert.equal(await runs(), before + 1, 'the same rules put nothing off');
  });

  test('two who ask at once get one run', async () => {
    await set('nothing', { action: 'deleteOlder', olderThan: '5d' });
    clock.advance(2 * dayMs);
    const asked = await Promise.all([1, 2, 3].map(async () => await lifecycles.ask(bench.registryUid)));
    assert.equal(new Set(asked.map(({ uid }) => uid)).size, 1);
    await lifecycles.work(usual);
    const runs = bench.database.read.selectFrom('lifecycle_runs').where('ended_at', 'is', null);
    assert.deepEqual(await runs.select('uid').execute(), []);
  });

  const toReplace = async (name: string) => {
    for (const repository of [name, `${name}-other`])
      for (let index = 0; index < 3; index += 1)
        await push(bench.place(repository), image(`${repository} ${index}`), `v${index}`);
    clock.advance(10 * dayMs);
    await set(name, { action: 'deleteOlder', olderThan: '5d' });
    const replaceRules = async () => await replace(`${name}-other`, { action: 'deleteOlder', olderThan: '5d' });
    return { uid: (await lifecycles.ask(bench.registryUid)).uid, replaceRules };
  };
  const requireEnded = async (uid: string, taken: readonly string[]) => {
    const { run, items } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual(names(items), taken);
    assert.match(run.problem ?? '', /rules were changed/);
    assert.notEqual(run.endedAtMicros, undefined);
    const walks = bench.database.read.selectFrom('walks').where('name', 'like', 'lifecycle %').select('name');
    assert.deepEqual(await walks.execute(), []);
  };

  test('a run whose rules are replaced before it begins takes nothing', async () => {
    const { uid, replaceRules } = await toReplace('waits');
    await replaceRules();
    await lifecycles.work(usual);
    await requireEnded(uid, []);
  });

  test('a run that was cut off is not taken up by other rules', async () => {
    const { uid, replaceRules } = await toReplace('stopped');
    const stopped = new AbortController();
    const failpoint: Failpoint = async (point) => {
      if (point !== 'delete.commit.after' || stopped.signal.aborted) return;
      await replaceRules();
      stopped.abort();
    };
    const racing = { ...bench.here, clock: racingClock(clock), region: testRegion };
    const stopping = new Lifecycles({ ...racing, deletions: new Deletions({ ...racing, failpoint }) });
    await stopping.work({ ...usual, signal: stopped.signal });
    await lifecycles.work(usual);
    await requireEnded(uid, ['v0']);
  });

  test('when rules are replaced, nothing leaves by the old ones any more', async () => {
    const { uid, replaceRules } = await toReplace('at-once');
    let isFirst = true;
    const failpoint: Failpoint = async (point) => {
      if (point !== 'delete.commit.after' || !isFirst) return;
      isFirst = false;
      await replaceRules();
    };
    const racing = { ...bench.here, clock: racingClock(clock), region: testRegion };
    // No time passes for the run itself, which looks at its rules now and then.
    const slow = new Lifecycles({ ...racing, clock, deletions: new Deletions({ ...racing, failpoint }) });
    await slow.work(usual);
    await requireEnded(uid, ['v0']);
  });

  test('the same rules again leave a run as it is', async () => {
    const { uid } = await toReplace('same');
    await replace('same', { action: 'deleteOlder', olderThan: '5d' });
    await lifecycles.work(usual);
    const { run } = await lifecycles.run(bench.registryUid, uid, 0);
    assert.deepEqual([run.tags, run.manifests, run.problem], [3, 3, undefined]);
  });

  test('locks hold, and bad rules are refused', async () => {
    const at = bench.place('held');
    await push(at, image('held'), 'v1');
    clock.advance(10 * dayMs);
    await set('held', { action: 'deleteOlder', olderThan: '5d' });
    await new AttributeChanges({ ...bench.here, region: testRegion }).repository(at, me, { writeEnabled: false });
    assert.deepEqual(await preview(), []);
    await assert.rejects(set('held', { action: 'deleteOlder', olderThan: 'often' }), { error: 'purgeInvalid' });
    await assert.rejects(lifecycles.run(bench.registryUid, 'unknown', 0), { error: 'lifecycleRunUnknown' });
    await set('held');
    assert.equal(await lifecycles.policy(bench.registryUid), undefined);
  });
});
