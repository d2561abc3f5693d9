import { type Digest, parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import type { Tag } from '../../core/reference.ts';
import type { RepositoryName } from '../../core/repository-name.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Failpoint } from '../../platform/failpoints.ts';
import type { Authority } from '../access/authority.ts';
import { requireOn } from './attributes.ts';
import type { AuthorizedChanges, Change, ChangeTarget } from './authorized-change.ts';
import { eventsOf } from './content-events.ts';
import { Deletion } from './deletion.ts';
import { immutableTagsOf } from './immutable-tags.ts';
import { pointTag, tagState } from './point-tag.ts';
import { markUntagged } from './untagged-marks.ts';

export type TagMove = {
  readonly repository: RepositoryName;
  readonly tag: Tag;
  /** Where the tag shall point; undefined to take it away. */
  readonly digest: Digest | undefined;
  /** Where it must point now: null for nowhere; undefined when that does not matter. */
  readonly expected: Digest | null | undefined;
};

export type MovedTag = {
  readonly repository: RepositoryName;
  readonly tag: Tag;
  readonly digest: Digest | undefined;
  readonly previous: Digest | undefined;
};

export type TagMovesParts = {
  readonly database: Database;
  readonly changes: AuthorizedChanges;
  readonly clock: Clock;
  /** Region of origin of what is written here. */
  readonly region: string;
  readonly failpoint: Failpoint;
};

/** Each move makes two events at most, and a transaction takes 500. */
export const maxMoves = 200;

/** Moves tags of one or several repositories of a registry, all of them or none. */
export class TagMoves {
  readonly #parts: TagMovesParts;

  constructor(parts: TagMovesParts) {
    this.#parts = parts;
  }

  /**
   * Answers where each tag was, in the order of `moves`; a tag that points there already stays as it is. Locks and the rules
   * for tags that are written once hold as for a push and a deletion.
   * Throws `requestInvalid` for none, too many, or a tag named twice; `tagMoved` with each tag that does not point where it was
   * expected; `manifestUnknown` with each manifest that is not in its repository; `contentLocked`, `tagImmutable`.
   */
  async apply(
    registryUid: string,
    moves: readonly TagMove[],
    authorityOf: (repository: RepositoryName) => Authority,
  ): Promise<readonly MovedTag[]> {
    requireMoves(moves);
    const { changes, failpoint } = this.#parts;
    const byRepository = Map.groupBy(moves, (move) => move.repository);
    const targets = [...byRepository.keys()].map((repository) => ({
      place: { registryUid, repository },
      authority: authorityOf(repository),
    }));
    await failpoint('release.commit.before');
    const moved = await changes(
      targets,
      async (begun) => {
        const scenes: Scene[] = [];
        for (const each of begun) scenes.push(await sceneOf(each, byRepository));
        refuseMoved(scenes);
        refuseMissing(scenes);
        const done: MovedTag[] = [];
        for (const scene of scenes) done.push(...(await this.#moveIn(scene)));
        return done;
      },
      { isExclusive: true },
    );
    await failpoint('release.commit.after');
    return inOrderOf(moves, moved);
  }

  async #moveIn(scene: Scene): Promise<readonly MovedTag[]> {
    const { place, change, repositoryUid, moves, present } = scene;
    if (repositoryUid === undefined) return moves.map((move) => ({ ...move, previous: undefined }));
    requireOn({ repository: place.repository }, change.repositoryLocks, 'writeEnabled');
    const { clock, database, region } = this.#parts;
    const event = eventsOf(place, scene.authority, region);
    const nowMicros = clock.nowMicros();
    const deletion = new Deletion({ kind: database.kind, place, change, repositoryUid, event, nowMicros });
    const done: MovedTag[] = [];
    for (const { tag, digest } of moves) {
      const previous = present.get(tag);
      done.push({ repository: place.repository, tag, digest, previous });
      if (digest === previous) continue;
      if (digest === undefined) await deletion.tag(tag);
      else await this.#point({ ...scene, repositoryUid }, tag, digest, nowMicros);
    }
    await deletion.finish();
    return done;
  }

  /** As a push of the same manifest under the tag. */
  async #point(
    { place, authority, change, repositoryUid, manifests }: Scene & { readonly repositoryUid: string },
    tag: Tag,
    digest: Digest,
    nowMicros: number,
  ): Promise<void> {
    const { region } = this.#parts;
    const { tx, append, registry } = change;
    const immutable = immutableTagsOf(registry, place.repository);
    const written = await pointTag(tx, { place, repositoryUid, immutable }, { tag, digest, region, nowMicros });
    if (written === undefined) return;
    const event = eventsOf(place, authority, region);
    append(event('manifest.pushed', { digest, ...manifests.get(digest), tags: [tag] }));
    append(event('tag.set', { tag, digest, region, ...tagState(written) }));
    if (written.previous !== undefined && registry.retentionDays !== null) {
      const at = { registryUid: place.registryUid, repositoryUid };
      await markUntagged(tx, at, [written.previous], nowMicros);
    }
  }
}

type Described = Readonly<Record<string, unknown>>;

/** What there is of a repository and its moves; it stays so until the commit. */
type Scene = ChangeTarget & {
  readonly change: Change;
  readonly repositoryUid: string | undefined;
  readonly moves: readonly TagMove[];
  readonly present: ReadonlyMap<string, Digest>;
  readonly manifests: ReadonlyMap<string, Described>;
};

async function sceneOf(
  target: ChangeTarget & { readonly change: Change },
  byRepository: ReadonlyMap<RepositoryName, readonly TagMove[]>,
): Promise<Scene> {
  const { tx, repositoryUid } = target.change;
  const moves = byRepository.get(target.place.repository) ?? [];
  const common = { ...target, repositoryUid, moves };
  if (repositoryUid === undefined) return { ...common, present: new Map(), manifests: new Map() };
  const tags = await tx
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .where(
      'name',
      'in',
      moves.map(({ tag }) => tag),
    )
    .select(['name', 'digest'])
    .execute();
  const digests = moves.flatMap(({ digest }) => (digest === undefined ? [] : [digest]));
  const manifests =
    digests.length === 0
      ? []
      : await tx
          .selectFrom('manifests')
          .where('repository_uid', '=', repositoryUid)
          .where('digest', 'in', digests)
          .select(['digest', 'media_type', 'size', 'artifact_type', 'subject_digest'])
          .execute();
  return {
    ...common,
    present: new Map(tags.map(({ name, digest }) => [name, parseDigest(digest)])),
    manifests: new Map(
      manifests.map(({ digest, media_type, size, artifact_type, subject_digest }) => [
        digest,
        {
          mediaType: media_type,
          sizeBytes: size,
          ...(artifact_type === null ? {} : { artifactType: artifact_type }),
          ...(subject_digest === null ? {} : { subject: subject_digest }),
        },
      ]),
    ),
  };
}

function requireMoves(moves: readonly TagMove[]): void {
  if (moves.length === 0) throw new BerthError('requestInvalid', { moves: 'name at least one tag to move' });
  if (moves.length > maxMoves)
    throw new BerthError('requestInvalid', {
      moves: `${moves.length} tags are too many for one step: ${maxMoves} at most`,
    });
  const names = moves.map(({ repository, tag }) => `${repository}:${tag}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new BerthError('requestInvalid', { moves: `${twice} is named twice` });
}

function refuseMoved(scenes: readonly Scene[]): void {
  const moved = scenes.flatMap(({ moves, present }) =>
    moves.flatMap(({ repository, tag, expected }) => {
      const actual = present.get(tag) ?? null;
      return expected === undefined || expected === actual ? [] : [{ repository, tag, expected, actual }];
    }),
  );
  if (moved.length > 0) throw new BerthError('tagMoved', moved);
}

function refuseMissing(scenes: readonly Scene[]): void {
  const missing = scenes.flatMap(({ moves, manifests }) =>
    moves.flatMap(({ repository, tag, digest }) =>
      digest === undefined || manifests.has(digest) ? [] : [{ repository, tag, digest }],
    ),
  );
  if (missing.length > 0) throw new BerthError('manifestUnknown', missing);
}

function inOrderOf(moves: readonly TagMove[], moved: readonly MovedTag[]): readonly MovedTag[] {
  const byName = new Map(moved.map((each) => [`${each.repository}:${each.tag}`, each]));
  return moves.flatMap(({ repository, tag }) => byName.get(`${repository}:${tag}`) ?? []);
}
