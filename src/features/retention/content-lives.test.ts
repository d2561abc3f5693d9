import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { type RawBuilder, sql } from 'kysely';
import { type ModelManifest, RepositoryModel } from '../../../test/support/content-model.ts';
import {
  type ContentBench,
  contentBench,
  fullAuthority,
  quietLog,
  testRegion,
} from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { descriptorOf, sampleBlob, sampleImage, sampleIndex } from '../../../test/support/oci-samples.ts';
import { SeededRandom } from '../../../test/support/random.ts';
import { parseDigest } from '../../core/digest.ts';
import { parseReference, parseTag } from '../../core/reference.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { lifecycleRulesSchema } from '../../wire/admin/lifecycle-schema.ts';
import { AttributeChanges } from '../content/attribute-changes.ts';
import { cosignTags } from '../content/cosign-tags.ts';
import { Deletions } from '../content/deletions.ts';
import type { Place } from '../content/place.ts';
import { expireDeleted } from './deleted-expiry.ts';
import { collectGarbage } from './garbage-collection.ts';
import { Lifecycles } from './lifecycles.ts';
import { ownAuthority } from './own-authority.ts';
import { purge } from './purges.ts';
import { Restores } from './restores.ts';
import { deleteUntagged } from './untagged-policy.ts';

const me = fullAuthority();
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
const isLong = process.env.BERTH_TEST_LONG === '1';
const steps = 40;
/** Of one registry: repositories share them. */
const blobs = Array.from({ length: 6 }, (_, index) => sampleBlob(`model ${index}`, 100 * (index + 1)));
const tags = ['t0', 't1', 't2', 't3'];

forEachDatabase((kind, open) => {
  let bench: ContentBench;
  let clock: HeldClock;
  const sequences = isLong ? 2_000 : kind === 'sqlite' ? 40 : 6;

  before(async () => {
    clock = new HeldClock(Date.now() * 1000);
    bench = await contentBench(open, { clock });
  });
  after(() => bench.folder.remove());

  for (const keepsDeleted of [false, true]) {
    test(`F-27: ${sequences} random lives of content ${keepsDeleted ? 'with' : 'without'} soft delete agree with the model`, async () => {
      for (let index = 0; index < (process.env.BERTH_TEST_SEED === undefined ? sequences : 1); index += 1) {
        const seed = Number(process.env.BERTH_TEST_SEED ?? randomInt(2 ** 31));
        await new Life(bench, clock, { seed, keepsDeleted }).run().catch((error: unknown) => {
          throw new Error(`the sequence of seed ${seed} differs from the model`, { cause: error });
        });
      }
    });
  }
});

/** One sequence, in a repository of its own that is empty at its end. */
class Life {
  readonly #bench: ContentBench;
  readonly #clock: HeldClock;
  readonly #random: SeededRandom;
  readonly #model: RepositoryModel;
  readonly #keepsDeleted: boolean;
  readonly #place: Place;
  #serial = 0;

  constructor(bench: ContentBench, clock: HeldClock, { seed, keepsDeleted }: { seed: number; keepsDeleted: boolean }) {
    this.#bench = bench;
    this.#clock = clock;
    this.#random = new SeededRandom(seed);
    this.#model = new RepositoryModel(keepsDeleted);
    this.#keepsDeleted = keepsDeleted;
    this.#place = bench.place(`life-${seed}`);
  }

  async run(): Promise<void> {
    await this.#bench.database.transaction(async (tx) => {
      const policies = { retention_days: 7, keeps_deleted: this.#keepsDeleted ? 1 : 0 };
      await tx.updateTable('registries').set(policies).execute();
    });
    for (let step = 0; step < steps; step += 1) {
      await this.#step();
      await this.#compareRows();
    }
    await this.#compareContent();
    await this.#end();
  }

  async #step(): Promise<void> {
    const dice = this.#random.below(22);
    if (dice < 5) return await this.#pushImage();
    if (dice < 7) return await this.#pushIndex();
    if (dice < 9) return await this.#pushAgain();
    if (dice < 11) return await this.#untag();
    if (dice < 13) return await this.#remove();
    if (dice === 13) return await this.#lock();
    if (dice === 14) return await this.#retain();
    if (dice === 15) return await this.#restore();
    if (dice === 16) return await this.#expire();
    if (dice === 17) return await this.#purge();
    if (dice === 18) return await this.#lifecycle();
    if (dice === 19) return await this.#sign();
    if (dice === 20) await collectGarbage(this.#bench.here, job);
    else this.#clock.advance(this.#random.below(4 * 24) * 3_600_000 + 1);
  }

  get #nowMs(): number {
    return this.#clock.nowMicros() / 1000;
  }

  get #deletions(): Deletions {
    return new Deletions({ ...this.#bench.here, region: testRegion });
  }

  async #pushImage(): Promise<void> {
    const some = [blobs[this.#random.below(blobs.length)] ?? assert.fail(), ...this.#random.some(blobs, 2)];
    const layers = [...new Set(some)];
    const subject = this.#random.below(3) === 0 ? this.#anyLive() : undefined;
    const more = subject === undefined ? {} : { subject: descriptorOf(subject.manifest, subject.manifest.mediaType) };
    const manifest = sampleImage(layers, { annotations: this.#unique(), ...more });
    await this.#push({ manifest, blobs: layers, children: [], subject: subject?.manifest.digest }, this.#anyTag());
  }

  async #pushIndex(): Promise<void> {
    const children = this.#random.some([...this.#model.live], 3).map((digest) => this.#known(digest).manifest);
    if (children.length === 0) return;
    const manifest = sampleIndex(children, { annotations: this.#unique() });
    const digests = children.map((child) => child.digest);
    await this.#push({ manifest, blobs: [], children: digests, subject: undefined }, this.#anyTag());
  }

  async #pushAgain(): Promise<void> {
    const digest = this.#random.pick([...this.#model.known.keys()]);
    if (digest === undefined) return;
    const entry = this.#known(digest);
    if (entry.children.some((child) => !this.#model.live.has(child))) return;
    await this.#push(entry, this.#anyTag());
  }

  async #push(entry: ModelManifest, tag: string | undefined): Promise<void> {
    for (const blob of entry.blobs) await this.#bench.push(this.#place, blob);
    await this.#bench.here.manifests.push(this.#place, me, {
      body: entry.manifest.bytes,
      contentType: entry.manifest.mediaType,
      reference: parseReference(tag ?? entry.manifest.digest),
      tags: [],
    });
    this.#model.push(entry, tag, this.#nowMs);
  }

  async #untag(): Promise<void> {
    const tag = this.#random.pick(tags) ?? '';
    const untagging = this.#deletions.tag(this.#place, me, parseTag(tag));
    if (this.#model.tags.has(tag)) await untagging;
    else await assert.rejects(untagging, { error: 'tagUnknown' });
    this.#model.untag(tag, this.#nowMs);
  }

  async #remove(): Promise<void> {
    const entry = this.#anyLive();
    if (entry === undefined) return;
    const { digest } = entry.manifest;
    const removing = this.#deletions.manifest(this.#place, me, digest);
    const error = this.#model.refusal(digest);
    if (error !== undefined) return await assert.rejects(removing, { error });
    await removing;
    this.#model.remove(digest, this.#nowMs);
  }

  async #lock(): Promise<void> {
    const entry = this.#anyLive();
    if (entry === undefined) return;
    const { digest } = entry.manifest;
    const attributes = new AttributeChanges({ ...this.#bench.here, region: testRegion });
    const isLocked = this.#model.locked.has(digest);
    await attributes.manifest(this.#place, me, digest, { deleteEnabled: isLocked });
    if (isLocked) this.#model.locked.delete(digest);
    else this.#model.locked.add(digest);
  }

  async #retain(): Promise<void> {
    const authority = ownAuthority('retention policy');
    await deleteUntagged({ ...this.#bench.here, log: quietLog, deletions: this.#deletions, authority }, job);
    this.#model.retain(this.#nowMs);
  }

  async #restore(): Promise<void> {
    const digest = this.#random.pick([...this.#model.known.keys()]);
    if (digest === undefined) return;
    const tag = this.#anyTag();
    const restores = new Restores({ ...this.#bench.here, region: testRegion });
    const restoring = restores.restore(this.#place, me, {
      digest: parseDigest(digest),
      tag: tag === undefined ? undefined : parseTag(tag),
      isForced: true,
    });
    if (this.#model.restore(digest, tag, this.#nowMs)) await restoring;
    else await assert.rejects(restoring, { error: 'manifestUnknown' });
  }

  async #expire(): Promise<void> {
    const authority = ownAuthority('soft delete policy');
    await expireDeleted({ ...this.#bench.here, log: quietLog, region: testRegion, authority }, job);
    this.#model.expire(this.#nowMs);
  }

  /** What a purge takes is its own test's matter; here the model follows what it says. */
  async #purge(): Promise<void> {
    const items = purge({ ...this.#bench.here, deletions: this.#deletions }, me, {
      registryUid: this.#place.registryUid,
      filters: [],
      ageMs: 3 * dayMs,
      keep: 0,
      untagged: 'only',
      includesLocked: false,
      isDryRun: false,
      signal: job.signal,
    });
    for await (const { tag, digest, outcome, repository } of items) {
      if (outcome !== 'deleted' || repository !== this.#place.repository) continue;
      if (tag === undefined && this.#model.live.has(digest)) this.#model.remove(digest, this.#nowMs);
    }
  }

  /** As cosign does: what belongs to an image is an image under a tag that names its digest. */
  async #sign(): Promise<void> {
    const subject = this.#anyLive();
    const layer = blobs[this.#random.below(blobs.length)] ?? assert.fail();
    const tag = this.#random.pick([...cosignTags(subject?.manifest.digest ?? 'sha256:')]);
    if (subject === undefined || tag === undefined) return;
    const manifest = sampleImage([layer], { annotations: this.#unique() });
    await this.#push({ manifest, blobs: [layer], children: [], subject: undefined }, tag);
  }

  /** What rules take is their own test's matter; a run takes what the preview lists, and the model follows. */
  async #lifecycle(): Promise<void> {
    const { registryUid, repository } = this.#place;
    const lifecycles = new Lifecycles({ ...this.#bench.here, deletions: this.#deletions, region: testRegion });
    const rules = lifecycleRulesSchema.parse([
      { name: 'last', repositories: repository, action: 'keepLast', count: 1 + this.#random.below(3) },
      { name: 'named', repositories: repository, tags: 't0', action: 'keepMatching' },
      { name: 'old', repositories: repository, action: 'deleteOlder', olderThan: `${this.#random.below(3)}d` },
    ]);
    await lifecycles.set({ registryUid, tenantUid: this.#bench.tenantUid, rules, everyMs: dayMs, actor: 'me' });
    const { signal } = job;
    const preview = await Array.fromAsync(lifecycles.preview(registryUid, me, { rules: undefined, signal }));
    const { uid } = await lifecycles.ask(registryUid);
    await lifecycles.work(job);
    const { run, items } = await lifecycles.run(registryUid, uid, 0);
    assert(run.endedAtMicros !== undefined);
    assert.deepEqual(
      items.map(({ tag, digest, freedBytes, rule }) => ({ tag, digest, freedBytes, rule })),
      preview
        .filter(({ outcome }) => outcome === 'wouldDelete')
        .map(({ tag, digest, freedBytes, rule }) => ({ tag, digest, freedBytes, rule })),
      'a run takes what its preview lists',
    );
    for (const { tag, digest, outcome } of items) {
      assert.equal(outcome, 'deleted');
      if (tag !== undefined) this.#model.untag(tag, this.#nowMs);
      else if (this.#model.live.has(digest)) this.#model.remove(digest, this.#nowMs);
    }
    await lifecycles.set({ registryUid, tenantUid: this.#bench.tenantUid, rules: [], everyMs: dayMs, actor: 'me' });
  }

  async #compareRows(): Promise<void> {
    const { live, kept, tags: pointed, keptTags, marks } = this.#model;
    const rows = async (table: 'manifests' | 'deleted_manifests' | 'untagged_manifests') =>
      (await this.#rowsOf(table, sql`x.digest`)).toSorted();
    assert.deepEqual(await rows('manifests'), [...live].toSorted(), 'manifests');
    assert.deepEqual(await rows('deleted_manifests'), [...kept.keys()].toSorted(), 'kept manifests');
    assert.deepEqual(await rows('untagged_manifests'), [...marks.keys()].toSorted(), 'marks');
    const named = async (table: 'tags' | 'deleted_tags') =>
      (await this.#rowsOf(table, sql`x.name || ' ' || x.digest`)).toSorted();
    assert.deepEqual(await named('tags'), [...pointed].map(([name, digest]) => `${name} ${digest}`).toSorted(), 'tags');
    assert.deepEqual(await named('deleted_tags'), [...keptTags.keys()].toSorted(), 'kept tags');
    const usage = await this.#bench.database.read
      .selectFrom('registry_usage')
      .where('registry_uid', '=', this.#place.registryUid)
      .select('bytes')
      .executeTakeFirst();
    assert.equal(usage?.bytes ?? 0, this.#bytesInUse(), 'bytes in use');
  }

  async #rowsOf(table: string, text: RawBuilder<unknown>): Promise<string[]> {
    const { rows } = await sql<{ text: string }>`select ${text} as text from ${sql.table(table)} x
      join repositories r on r.uid = x.repository_uid where r.name = ${this.#place.repository}`.execute(
      this.#bench.database.read,
    );
    return rows.map((row) => row.text);
  }

  #bytesInUse(): number {
    const { live, kept } = this.#model;
    const held = [...live, ...kept.keys()].map((digest) => this.#known(digest));
    const used = new Set(held.flatMap((entry) => entry.blobs));
    const sizes = [...held.map((entry) => entry.manifest.bytes.length), ...[...used].map((blob) => blob.bytes.length)];
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** What the model says is visible can be pulled with right bytes, nothing else can. */
  async #compareContent(): Promise<void> {
    for (const [digest, entry] of this.#model.known) {
      const finding = this.#bench.here.manifests.find(this.#place, parseReference(digest), me);
      if (!this.#model.live.has(digest)) {
        await assert.rejects(finding, { error: 'manifestUnknown' });
        continue;
      }
      assert(entry.manifest.bytes.equals((await finding).body));
      for (const blob of entry.blobs)
        assert((await this.#bench.pull(this.#place, blob.digest)).equals(blob.bytes), 'bytes of a blob');
    }
  }

  /** Everything is deleted and its days pass: nothing is left, in rows or in the store. */
  async #end(): Promise<void> {
    await this.#bench.database.transaction(async (tx) => {
      await tx.updateTable('manifests').set({ locks: 0 }).execute();
    });
    if (this.#model.live.size > 0) await this.#deletions.repository(this.#place, me);
    this.#clock.advance(8 * dayMs);
    await this.#expireAll();
    this.#clock.advance(2 * dayMs);
    await collectGarbage(this.#bench.here, job);
    assert.deepEqual(await this.#bench.stored(), [], 'bytes in the store');
    const usage = await this.#bench.database.read.selectFrom('registry_usage').select('bytes').execute();
    assert(usage.every(({ bytes }) => bytes === 0));
  }

  async #expireAll(): Promise<void> {
    const authority = ownAuthority('soft delete policy');
    await expireDeleted({ ...this.#bench.here, log: quietLog, region: testRegion, authority }, job);
  }

  #known(digest: string): ModelManifest {
    return this.#model.known.get(digest) ?? assert.fail(`unknown ${digest}`);
  }

  #anyLive(): ModelManifest | undefined {
    const digest = this.#random.pick([...this.#model.live]);
    return digest === undefined ? undefined : this.#known(digest);
  }

  #anyTag(): string | undefined {
    return this.#random.below(3) === 0 ? undefined : this.#random.pick(tags);
  }

  #unique() {
    this.#serial += 1;
    return { n: `${this.#place.repository} ${this.#serial}` };
  }
}
