import type { Digest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Reference, Tag } from '../../core/reference.ts';
import type { Transaction } from '../../platform/database/database.ts';
import type { Authority } from '../access/authority.ts';
import type { SeenManifest, SeenTag } from './as-seen.ts';
import type { Change } from './authorized-change.ts';
import { eventsOf } from './content-events.ts';
import type { ContentParts } from './content-parts.ts';
import { Deletion, type UntaggedOutcome } from './deletion.ts';
import type { Place } from './place.ts';
import type { Gone } from './removal.ts';

export type DeletionsParts = Pick<ContentParts, 'database' | 'change' | 'clock' | 'failpoint'> & {
  /** Region of origin of what is written here. */
  readonly region: string;
};

/** Writes what each deletion of a transaction took, in that transaction. */
export type Alongside = (tx: Transaction, gone: readonly Gone[]) => Promise<void>;

export type DeletionOptions = {
  /** Of tags and manifests, not of the repository. */
  readonly ignoresLocks?: boolean;
  readonly alongside?: Alongside | undefined;
};

export type UntaggedDeletion = Gone & {
  readonly outcome: UntaggedOutcome;
  /** What was thrown when the rest of what refers to it should leave too; undefined without any. The rest leaves later. */
  readonly problem: unknown;
};

/** What became of one of several: it was refused, which hinders none of the others, or not. */
export type Settled<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'refused'; readonly error: BerthError };

/** What a deletion of a whole repository took. */
export type DeletedRepository = { readonly manifests: readonly string[]; readonly tags: readonly string[] };

/** Deletes tags, manifests and repositories, each as one request asks for it. Locks: ACR semantics, 3.3 and 4.3. */
export class Deletions {
  readonly #parts: DeletionsParts;

  constructor(parts: DeletionsParts) {
    this.#parts = parts;
  }

  /** Throws `tagUnknown`, `contentLocked`, `tagImmutable`. */
  async tag(place: Place, authority: Authority, tag: Tag): Promise<void> {
    await this.#delete(place, authority, async (deletion) => {
      if (!(await deletion?.tag(tag))) throw new BerthError('tagUnknown', { repository: place.repository, tag });
    });
  }

  /**
   * For purges, which looked at the tags before: as many as one transaction takes in a short time, at least the first. False, and
   * nothing happens, for one that was moved or deleted since. Refused are `contentLocked`, `tagImmutable`.
   */
  async unchangedTags(
    place: Place,
    authority: Authority,
    wanted: readonly SeenTag[],
    options?: DeletionOptions,
  ): Promise<readonly Settled<boolean>[]> {
    const settled = await this.#each(place, authority, wanted, options, (deletion, tag) => deletion.unchangedTag(tag));
    return settled.map((each) => (each.kind === 'done' ? { kind: 'done', result: each.result === true } : each));
  }

  /**
   * The same for manifests that have no tag and are part of no index, with what refers to each. Refused are `contentLocked`,
   * `tagImmutable`, `manifestReferenced`.
   */
  async untaggedManifests(
    place: Place,
    authority: Authority,
    wanted: readonly SeenManifest[],
    options: DeletionOptions = {},
  ): Promise<readonly Settled<UntaggedDeletion>[]> {
    const settled = await this.#each(place, authority, wanted, options, async (deletion, seen) => {
      const outcome = await deletion.untaggedManifest(seen);
      const limit = Math.max(1, manifestsAtOnce - deletion.removedManifests);
      return { outcome, hasMore: outcome === 'deleted' && (await deletion.referrers(seen.digest, limit)) };
    });
    const answers: Settled<UntaggedDeletion>[] = [];
    for (const [index, each] of settled.entries()) {
      if (each.kind === 'refused') {
        answers.push(each);
        continue;
      }
      const { result, gone } = each;
      const seen = wanted[index];
      const hasMore = seen !== undefined && result?.hasMore === true;
      const { alongside } = options;
      const more = hasMore ? await this.#rest(place, authority, seen.digest, { alongside }) : noMore;
      const outcome = result?.outcome ?? 'changed';
      answers.push({
        kind: 'done',
        result: { outcome, ...together([gone, ...more.gone]), problem: more.problem },
      });
    }
    return answers;
  }

  /** One of them. Throws what it is refused for. */
  async untaggedManifest(
    place: Place,
    authority: Authority,
    seen: SeenManifest,
    options?: DeletionOptions,
  ): Promise<UntaggedDeletion> {
    const [settled] = await this.untaggedManifests(place, authority, [seen], options);
    if (settled === undefined) throw new Error('a deletion answered nothing');
    if (settled.kind === 'refused') throw settled.error;
    return settled.result;
  }

  /**
   * A manifest, the tags on it, and what refers to it and is there for nothing else, as signatures are.
   * Throws `manifestUnknown`, `manifestReferenced`, `contentLocked`, `tagImmutable`.
   */
  async manifest(place: Place, authority: Authority, digest: Digest): Promise<void> {
    const hasMore = await this.#delete(place, authority, async (deletion) => {
      if (deletion === undefined || !(await deletion.manifest(digest, true)))
        throw new BerthError('manifestUnknown', { repository: place.repository, digest });
      return await deletion.referrers(digest, manifestsAtOnce);
    });
    if (hasMore) await this.moreReferrers(place, authority, digest);
  }

  /** A tag, or a manifest as above; throws `manifestUnknown` for either. Source: OCI distribution specification, "Deleting tags". */
  async reference(place: Place, authority: Authority, reference: Reference): Promise<void> {
    if (reference.kind === 'digest') return await this.manifest(place, authority, reference.digest);
    const { tag } = reference;
    await this.#delete(place, authority, async (deletion) => {
      if (!(await deletion?.tag(tag))) throw new BerthError('manifestUnknown', { repository: place.repository, tag });
    });
  }

  /**
   * Everything in a repository, in slices; what is pushed meanwhile stays. Looks at every lock before it takes anything; one
   * that is set later ends it where it stands. Throws `nameUnknown`, `contentLocked`, `tagImmutable`.
   */
  async repository(place: Place, authority: Authority): Promise<DeletedRepository> {
    const startedMicros = await this.#delete(place, authority, async (deletion) => {
      if (deletion === undefined || !(await deletion.repository.holdsManifest()))
        throw new BerthError('nameUnknown', { name: place.repository });
      await deletion.repository.requireAllDeletable();
      await deletion.beginSlices();
      return await deletion.repository.lastChangeMicros();
    });
    const take = async (some: (deletion: Deletion) => Promise<readonly string[]>): Promise<string[]> => {
      const all: string[] = [];
      while (true) {
        const taken = await this.#delete(place, authority, async (deletion) => (deletion ? await some(deletion) : []));
        if (taken.length === 0) return all;
        for (const name of taken) all.push(name);
      }
    };
    const tags = await take((deletion) => deletion.repository.tagSlice({ limit: tagsAtOnce, startedMicros }));
    const manifests = await take((deletion) =>
      deletion.repository.manifestSlice({ limit: manifestsAtOnce, startedMicros }),
    );
    const links = { limit: linksAtOnce, startedMicros };
    for (let last: string | undefined = ''; last !== undefined; ) {
      const from: string = last;
      last = await this.#delete(
        place,
        authority,
        async (deletion) => await deletion?.repository.blobSlice(links, from),
      );
    }
    return { manifests, tags };
  }

  /** Goes on with what refers to a manifest that is gone, in slices: also for a process that was cut off. */
  async moreReferrers(place: Place, authority: Authority, digest: Digest): Promise<void> {
    const { problem } = await this.#rest(place, authority, digest);
    if (problem !== undefined) throw problem;
  }

  /** The same; answers what left, and why the rest did not. */
  async #rest(
    place: Place,
    authority: Authority,
    digest: Digest,
    options?: Pick<DeletionOptions, 'alongside'>,
  ): Promise<Rest> {
    const all: Gone[] = [];
    const take = async (deletion: Deletion | undefined) =>
      (await deletion?.moreReferrers(digest, manifestsAtOnce)) === true;
    try {
      for (let hasMore = true; hasMore; ) {
        const { result, gone } = await this.#run(place, authority, take, options);
        all.push(gone);
        hasMore = result;
      }
    } catch (problem) {
      return { gone: all, problem };
    }
    return { gone: all, problem: undefined };
  }

  /** One transaction of deletions; without a `deletion` where the repository does not exist. */
  async #delete<T>(
    place: Place,
    authority: Authority,
    work: (deletion: Deletion | undefined) => Promise<T>,
    options?: DeletionOptions,
  ): Promise<T> {
    return (await this.#run(place, authority, work, options)).result;
  }

  /** The same, and what left. */
  async #run<T>(
    place: Place,
    authority: Authority,
    work: (deletion: Deletion | undefined) => Promise<T>,
    options: DeletionOptions = {},
  ): Promise<{ readonly result: T; readonly gone: Gone }> {
    const { change, failpoint } = this.#parts;
    await failpoint('delete.commit.before');
    const run = async (context: Change) => {
      const deletion = this.#deletion(place, authority, context, options);
      const result = await work(deletion);
      const finished = await deletion?.finish();
      const gone = async () => (await finished?.())?.[0] ?? nothing;
      await options.alongside?.(context.tx, [await gone()]);
      return { result, gone };
    };
    const { result, gone } = await change(place, authority, run, { isExclusive: true });
    await failpoint('delete.commit.after');
    return { result, gone: await gone() };
  }

  /**
   * Several deletions in one transaction: the first of them, and others while it is short and small. What others wait for is
   * locked after the last of them: see `Deletion`.
   */
  async #each<Seen, Result>(
    place: Place,
    authority: Authority,
    wanted: readonly Seen[],
    options: DeletionOptions = {},
    work: (deletion: Deletion, seen: Seen) => Promise<Result>,
  ): Promise<readonly EachSettled<Result>[]> {
    const { change, failpoint, clock, database } = this.#parts;
    await failpoint('delete.commit.before');
    const run = async (context: Change) => {
      const deletion = this.#deletion(place, authority, context, options);
      const endMs = clock.monotonicMs() + togetherMs[database.kind];
      if (deletion === undefined)
        return wanted.map(() => ({ kind: 'done', result: undefined, gone: nothing }) as const);
      const isSmall = () => deletion.removedManifests < manifestsAtOnce && deletion.releasedBlobs < blobsAtOnce;
      const settled: Settled<Result>[] = [];
      for (const seen of wanted.slice(0, deletionsAtOnce)) {
        if (settled.length > 0) {
          if (!isSmall() || clock.monotonicMs() >= endMs) break;
          deletion.next();
        }
        settled.push(await settle(async () => await work(deletion, seen)));
      }
      const finished = await deletion.finish();
      const gone = await finished();
      await options.alongside?.(context.tx, gone);
      return settled.map((each, index) => ({ ...each, gone: gone[index] ?? nothing }));
    };
    const settled = await change(place, authority, run, { isExclusive: true });
    await failpoint('delete.commit.after');
    return settled;
  }

  #deletion(
    place: Place,
    authority: Authority,
    change: Change,
    { ignoresLocks }: DeletionOptions,
  ): Deletion | undefined {
    const { database, clock, region } = this.#parts;
    const { repositoryUid } = change;
    if (repositoryUid === undefined) return undefined;
    return new Deletion({
      ignoresLocks,
      kind: database.kind,
      place,
      change,
      repositoryUid,
      event: eventsOf(place, authority, region),
      nowMicros: clock.nowMicros(),
    });
  }
}

/** Without a result where there is no repository. */
type EachSettled<Result> = Settled<Result | undefined> & { readonly gone: Gone };

/** A refusal comes before anything was written. */
async function settle<Result>(work: () => Promise<Result>): Promise<Settled<Result>> {
  try {
    return { kind: 'done', result: await work() };
  } catch (error) {
    if (error instanceof BerthError && refusals.has(error.error)) return { kind: 'refused', error };
    throw error;
  }
}

const refusals: ReadonlySet<string> = new Set(['contentLocked', 'tagImmutable', 'manifestReferenced']);

const nothing: Gone = { tags: [], manifests: [], freedBytes: 0 };

type Rest = { readonly gone: readonly Gone[]; readonly problem: unknown };

const noMore: Rest = { gone: [], problem: undefined };

function together(all: readonly Gone[]): Gone {
  return {
    tags: all.flatMap(({ tags }) => tags),
    manifests: all.flatMap(({ manifests }) => manifests),
    freedBytes: all.reduce((sum, { freedBytes }) => sum + freedBytes, 0),
  };
}

/** What one transaction takes: few enough that others are not kept waiting, and far below what the journal takes. */
const tagsAtOnce = 200;
const manifestsAtOnce = 50;
const linksAtOnce = 1_000;
/** Of those that the manifests of several deletions referenced. */
const blobsAtOnce = 200;
/** Deletions that came together share a transaction for so long: in SQLite nothing else goes on in the process meanwhile. */
const togetherMs = { sqlite: 10, postgres: 100 } as const;
const deletionsAtOnce = 50;
