import assert from 'node:assert/strict';
import { parseReference } from '../../src/core/reference.ts';
import { cosignTags } from '../../src/features/content/cosign-tags.ts';
import { Deletions } from '../../src/features/content/deletions.ts';
import type { Place } from '../../src/features/content/place.ts';
import { expireDeleted } from '../../src/features/retention/deleted-expiry.ts';
import { collectGarbage } from '../../src/features/retention/garbage-collection.ts';
import { ownAuthority } from '../../src/features/retention/own-authority.ts';
import type { HeldClock } from '../../src/platform/held-clock.ts';
import { type ModelManifest, RepositoryModel } from './content-model.ts';
import { type ContentBench, type ContentProcess, fullAuthority, quietLog, testRegion } from './content-process.ts';
import * as step from './life-steps.ts';
import { descriptorOf, sampleBlob, sampleImage, sampleIndex } from './oci-samples.ts';
import { SeededRandom } from './random.ts';
import { repositoryLines } from './repository-lines.ts';
import { serialEnd } from './serial-orders.ts';

export type LifeOptions = {
  readonly seed: number;
  readonly keepsDeleted: boolean;
  /** How many things happen at the same time at most. */
  readonly atOnce: number;
};

export type LifeParts = {
  readonly bench: ContentBench;
  /** They take turns, and work at the same time. */
  readonly processes: readonly [ContentProcess, ...ContentProcess[]];
  readonly clock: HeldClock;
  /** What upkeep has taken, of all lives. */
  readonly taken: step.Taken;
};

const me = fullAuthority();
const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
/** Of one registry: repositories share them. */
const blobs = Array.from({ length: 6 }, (_, index) => sampleBlob(`model ${index}`, 100 * (index + 1)));
const tags = ['t0', 't1', 't2', 't3'];
const stepsInLife = 40;

/** One random sequence of what happens to content, in a repository of its own that is empty at its end. */
export class ContentLife {
  readonly #parts: LifeParts;
  readonly #options: LifeOptions;
  readonly #random: SeededRandom;
  readonly #place: Place;
  #model: RepositoryModel;
  #serial = 0;

  constructor(parts: LifeParts, options: LifeOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#model = new RepositoryModel(options.keepsDeleted);
    this.#place = parts.bench.place(`life-${options.seed}`);
  }

  /** Throws, with the seed, where what is there is not what the model says, or what some order of the steps would leave. */
  async run(): Promise<void> {
    const { seed, keepsDeleted, atOnce } = this.#options;
    try {
      await this.#parts.bench.database.transaction(async (tx) => {
        const policies = { retention_days: 7, keeps_deleted: keepsDeleted ? 1 : 0 };
        await tx.updateTable('registries').set(policies).execute();
      });
      for (let done = 0; done < stepsInLife; ) done += await this.#together(1 + this.#random.below(atOnce));
      await this.#compareContent();
      await this.#end();
    } catch (cause) {
      throw new Error(`the sequence of seed ${seed} differs from the model`, { cause });
    }
  }

  /** Answers how many steps that were: some need what is not there. */
  async #together(count: number): Promise<number> {
    // What upkeep looks at is due after days, so they pass often.
    if (this.#random.below(2) === 0) this.#parts.clock.advance(this.#random.below(4 * 24) * 3_600_000 + 1);
    const moment = {
      place: this.#place,
      tenantUid: this.#parts.bench.tenantUid,
      nowMs: this.#nowMs,
      model: this.#model,
      isAlone: count === 1,
      taken: this.#parts.taken,
    };
    const steps = Array.from({ length: count }, () => this.#planned(moment)).flatMap((each) => each ?? []);
    // Rules are those of the registry: two who set them at once would run each other's.
    const ruled = steps.filter(({ name }) => name.startsWith('lifecycle'));
    const chosen = steps.filter((each) => !ruled.slice(1).includes(each));
    const { processes } = this.#parts;
    const acted = await Promise.allSettled(
      chosen.map(({ act }, index) => act(processes[index % processes.length] ?? processes[0])),
    );
    const problems = acted.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
    if (problems.length > 0) throw new AggregateError(problems, `at the same time: ${namesOf(chosen)}`);
    const moves = acted.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const seen = await repositoryLines(this.#parts.bench.database.read, this.#place);
    const before = this.#model;
    const end = serialEnd(before, moves, (model) => model.lines().join() === seen.join());
    assert(
      end !== undefined,
      `no order of what was done leaves what is there.\nBefore: ${before.lines().join('\n')}\nDone: ${namesOf(moves)}\nThere: ${seen.join('\n')}`,
    );
    this.#model = end;
    return chosen.length;
  }

  /** Undefined where the step needs what is not there. */
  #planned(moment: step.LifeMoment): step.LifeStep | undefined {
    const dice = this.#random.below(24);
    const live = this.#anyLive();
    const known = this.#random.pick([...this.#model.known.values()]);
    if (dice < 5) return step.pushStep(moment, this.#image(), this.#anyTag());
    if (dice < 7) return this.#pushIndex(moment);
    if (dice < 9) return known && step.pushStep(moment, known, this.#anyTag());
    if (dice < 11) return step.untagStep(moment, this.#random.pick(tags) ?? '');
    if (dice < 13) return live && step.removeStep(moment, live.manifest.digest);
    if (dice === 13) return live && step.lockStep(moment, live.manifest.digest);
    if (dice < 16) return step.retainStep(moment);
    if (dice === 16) return known && step.restoreStep(moment, known.manifest.digest, this.#anyTag());
    if (dice < 19) return step.expireStep(moment);
    if (dice === 19) return step.purgeStep(moment);
    if (dice === 20)
      return step.lifecycleStep(moment, { last: 1 + this.#random.below(3), days: this.#random.below(3) });
    if (dice === 21) return live && this.#sign(moment, live);
    if (dice === 22) return step.collectStep();
    return known && step.pullStep(moment, known);
  }

  get #nowMs(): number {
    return this.#parts.clock.nowMicros() / 1000;
  }

  #image(): ModelManifest {
    const some = [blobs[this.#random.below(blobs.length)] ?? assert.fail(), ...this.#random.some(blobs, 2)];
    const layers = [...new Set(some)];
    const subject = this.#random.below(3) === 0 ? this.#anyLive() : undefined;
    const manifest = sampleImage(layers, { annotations: this.#unique(), ...subjectOf(subject) });
    return { manifest, blobs: layers, children: [], subject: subject?.manifest.digest };
  }

  #index(): ModelManifest | undefined {
    const children = this.#random.some([...this.#model.live], 3).map((digest) => this.#known(digest).manifest);
    if (children.length === 0) return undefined;
    const subject = this.#random.below(4) === 0 ? this.#anyLive() : undefined;
    const manifest = sampleIndex(children, { annotations: this.#unique(), ...subjectOf(subject) });
    const digests = children.map((child) => child.digest);
    return { manifest, blobs: [], children: digests, subject: subject?.manifest.digest };
  }

  #pushIndex(moment: step.LifeMoment): step.LifeStep | undefined {
    const index = this.#index();
    return index && step.pushStep(moment, index, this.#anyTag());
  }

  /** As cosign does: what belongs to an image is an image, or an index, under a tag that names its digest. */
  #sign(moment: step.LifeMoment, subject: ModelManifest): step.LifeStep | undefined {
    const layer = blobs[this.#random.below(blobs.length)] ?? assert.fail();
    const tag = this.#random.pick([...cosignTags(subject.manifest.digest)]);
    if (tag === undefined) return undefined;
    const index = this.#random.below(3) === 0 ? this.#index() : undefined;
    if (index !== undefined) return step.pushStep(moment, index, tag);
    const manifest = sampleImage([layer], { annotations: this.#unique() });
    return step.pushStep(moment, { manifest, blobs: [layer], children: [], subject: undefined }, tag);
  }

  /** What the model says is visible can be pulled with right bytes, nothing else can. */
  async #compareContent(): Promise<void> {
    const { bench } = this.#parts;
    for (const [digest, entry] of this.#model.known) {
      const finding = bench.here.manifests.find(this.#place, parseReference(digest), me);
      if (!this.#model.live.has(digest)) {
        await assert.rejects(finding, { error: 'manifestUnknown' });
        continue;
      }
      assert(entry.manifest.bytes.equals((await finding).body));
      for (const blob of entry.blobs)
        assert((await bench.pull(this.#place, blob.digest)).equals(blob.bytes), 'bytes of a blob');
    }
  }

  /** Everything is deleted and its days pass: nothing is left, in rows or in the store. */
  async #end(): Promise<void> {
    const { bench, clock } = this.#parts;
    await bench.database.transaction(async (tx) => {
      await tx.updateTable('manifests').set({ locks: 0 }).execute();
    });
    const deletions = new Deletions({ ...bench.here, region: testRegion });
    if (this.#model.live.size > 0) await deletions.repository(this.#place, me);
    clock.advance(8 * dayMs);
    const authority = ownAuthority('soft delete policy');
    await expireDeleted({ ...bench.here, log: quietLog, region: testRegion, authority }, job);
    clock.advance(2 * dayMs);
    await collectGarbage(bench.here, job);
    assert.deepEqual(await bench.stored(), [], 'bytes in the store');
    const usage = await bench.database.read.selectFrom('registry_usage').select('bytes').execute();
    assert(usage.every(({ bytes }) => bytes === 0));
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

function subjectOf(subject: ModelManifest | undefined) {
  return subject === undefined ? {} : { subject: descriptorOf(subject.manifest, subject.manifest.mediaType) };
}

function namesOf(all: readonly { readonly name: string }[]): string {
  return all.map(({ name }) => name).join('; ');
}
