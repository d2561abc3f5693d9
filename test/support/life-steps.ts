import assert from 'node:assert/strict';
import { parseDigest } from '../../src/core/digest.ts';
import { BerthError } from '../../src/core/errors.ts';
import { parseReference, parseTag } from '../../src/core/reference.ts';
import { AttributeChanges } from '../../src/features/content/attribute-changes.ts';
import { Deletions } from '../../src/features/content/deletions.ts';
import type { Place } from '../../src/features/content/place.ts';
import { expireDeleted } from '../../src/features/retention/deleted-expiry.ts';
import { collectGarbage } from '../../src/features/retention/garbage-collection.ts';
import { Lifecycles } from '../../src/features/retention/lifecycles.ts';
import { ownAuthority } from '../../src/features/retention/own-authority.ts';
import { purge } from '../../src/features/retention/purges.ts';
import { Restores } from '../../src/features/retention/restores.ts';
import type { PurgeItem } from '../../src/features/retention/take-selection.ts';
import { deleteUntagged } from '../../src/features/retention/untagged-policy.ts';
import { type LifecycleRuleBody, lifecycleRulesSchema } from '../../src/wire/admin/lifecycle-schema.ts';
import { bodyOf } from './bodies.ts';
import type { ModelManifest, RepositoryModel } from './content-model.ts';
import { type ContentProcess, fullAuthority, quietLog, testRegion } from './content-process.ts';
import type { SampleBlob } from './oci-samples.ts';
import { restoreMoves } from './restore-moves.ts';
import { inOrder, type Move } from './serial-orders.ts';

/** One thing that is done to a repository, of which everything is decided before. */
export type LifeStep = {
  readonly name: string;
  /** Does it; answers what that should have been to the model. */
  readonly act: (process: ContentProcess) => Promise<Move>;
};

export type LifeMoment = {
  readonly place: Place;
  readonly tenantUid: string;
  readonly nowMs: number;
  /** As it is before the step and what happens beside it. */
  readonly model: RepositoryModel;
  /** Whether nothing happens beside it. */
  readonly isAlone: boolean;
  readonly taken: Taken;
};

/** How many manifests each kind of upkeep took. */
export type Taken = { retention: number; expiry: number; purge: number };

const me = fullAuthority();
const job = { signal: new AbortController().signal, renew: async () => {} };
const dayMs = 86_400_000;

export function pushStep({ place, nowMs }: LifeMoment, entry: ModelManifest, tag: string | undefined): LifeStep {
  const name = `push ${entry.manifest.digest} ${tag ?? ''}`;
  const expected = (model: RepositoryModel) =>
    entry.children.every((child) => model.live.has(child)) ? 'done' : 'manifestBlobUnknown';
  return {
    name,
    act: async ({ uploads, manifests }) => {
      const upload = ({ digest, bytes }: SampleBlob) => outcomeOf(uploads.push(place, me, digest, bodyOf(bytes)));
      for (const blob of entry.blobs) {
        // Its old copy may be collected while it is compared: clients are asked to send it again.
        const outcome = await upload(blob);
        assert.equal(outcome === 'busy' ? await upload(blob) : outcome, 'done', `upload of ${blob.digest}`);
      }
      const pushing = manifests.push(place, me, {
        body: entry.manifest.bytes,
        contentType: entry.manifest.mediaType,
        reference: parseReference(tag ?? entry.manifest.digest),
        tags: [],
      });
      return one(name, await outcomeOf(pushing), expected, (model) => model.push(entry, tag, nowMs));
    },
  };
}

export function untagStep({ place, nowMs }: LifeMoment, tag: string): LifeStep {
  const name = `untag ${tag}`;
  const expected = (model: RepositoryModel) => (model.tags.has(tag) ? 'done' : 'tagUnknown');
  return {
    name,
    act: async (process) => {
      const outcome = await outcomeOf(deletionsOf(process).tag(place, me, parseTag(tag)));
      return one(name, outcome, expected, (model) => model.untag(tag, nowMs));
    },
  };
}

export function removeStep({ place, nowMs }: LifeMoment, digest: string): LifeStep {
  const name = `delete ${digest}`;
  const expected = (model: RepositoryModel) =>
    model.live.has(digest) ? (model.refusal(digest) ?? 'done') : 'manifestUnknown';
  return {
    name,
    act: async (process) => {
      const outcome = await outcomeOf(deletionsOf(process).manifest(place, me, parseDigest(digest)));
      return one(name, outcome, expected, (model) => model.remove(digest, nowMs));
    },
  };
}

export function lockStep({ place, model }: LifeMoment, digest: string): LifeStep {
  const isLocked = model.locked.has(digest);
  const name = `${isLocked ? 'unlock' : 'lock'} ${digest}`;
  const expected = ({ live }: RepositoryModel) =>
    live.has(digest) ? 'done' : live.size > 0 ? 'manifestUnknown' : 'nameUnknown';
  return {
    name,
    act: async (process) => {
      const attributes = new AttributeChanges({ ...process, region: testRegion });
      const changing = attributes.manifest(place, me, parseDigest(digest), { deleteEnabled: isLocked });
      return one(name, await outcomeOf(changing), expected, ({ locked }) => {
        if (isLocked) locked.delete(digest);
        else locked.add(digest);
      });
    },
  };
}

/** The policy for manifests without a tag. */
export function retainStep({ model, nowMs, taken }: LifeMoment): LifeStep {
  const due = model.due(nowMs);
  return {
    name: 'retention',
    act: async (process) => {
      const parts = { ...process, log: quietLog, deletions: deletionsOf(process) };
      taken.retention += await deleteUntagged({ ...parts, authority: ownAuthority('retention policy') }, job);
      const settles = due.map(([digest, sinceMs]) => (later: RepositoryModel) => {
        later.retain(digest, sinceMs, nowMs);
        return true;
      });
      return inOrder('retention', settles);
    },
  };
}

export function restoreStep({ place, nowMs }: LifeMoment, digest: string, tag: string | undefined): LifeStep {
  return {
    name: `restore ${digest} ${tag ?? ''}`,
    act: async (process) => {
      const restores = new Restores({ ...process, region: testRegion });
      const asked = { digest: parseDigest(digest), tag: tag === undefined ? undefined : parseTag(tag), isForced: true };
      const outcome = await outcomeOf(restores.restore(place, me, asked));
      return restoreMoves({ digest, tag, nowMs }, outcome);
    },
  };
}

/** The end of what was deleted and kept. */
export function expireStep({ model, nowMs, taken }: LifeMoment): LifeStep {
  const past = model.past(nowMs);
  return {
    name: 'expiry',
    act: async (process) => {
      const authority = ownAuthority('soft delete policy');
      taken.expiry += await expireDeleted({ ...process, log: quietLog, region: testRegion, authority }, job);
      const drops = past.map(([digest, atMs]) => ({ kept }: RepositoryModel) => {
        if (kept.get(digest) === atMs) kept.delete(digest);
        return true;
      });
      const tags = (later: RepositoryModel) => {
        later.dropPastTags(nowMs);
        return true;
      };
      return inOrder('expiry', [...drops, tags]);
    },
  };
}

/** What a purge takes is its own test's matter; the model follows what it says, which has to be allowed at that moment. */
export function purgeStep({ place, nowMs, taken }: LifeMoment): LifeStep {
  return {
    name: 'purge',
    act: async (process) => {
      const items = purge({ ...process, deletions: deletionsOf(process) }, me, {
        registryUid: place.registryUid,
        filters: [],
        ageMs: 3 * dayMs,
        keep: 0,
        untagged: 'only',
        includesLocked: false,
        isDryRun: false,
        signal: job.signal,
      });
      const gone = (await Array.fromAsync(items)).filter(
        ({ outcome, repository, tag }) => outcome === 'deleted' && repository === place.repository && tag === undefined,
      );
      taken.purge += gone.length;
      return inOrder(
        `purge of ${gone.map(({ digest }) => digest).join()}`,
        gone.map(
          ({ digest }) =>
            (model) =>
              take(model, digest, nowMs),
        ),
      );
    },
  };
}

/** What rules take is their own test's matter too. Where nothing else goes on, a run takes what the preview lists. */
export function lifecycleStep({ place, tenantUid, nowMs, isAlone }: LifeMoment, numbers: LifecycleNumbers): LifeStep {
  const { last, days } = numbers;
  const { registryUid, repository } = place;
  const rules = lifecycleRulesSchema.parse([
    { name: 'last', repositories: repository, action: 'keepLast', count: last },
    { name: 'named', repositories: repository, tags: 't0', action: 'keepMatching' },
    { name: 'old', repositories: repository, action: 'deleteOlder', olderThan: `${days}d` },
  ]);
  return {
    name: `lifecycle rules ${last} ${days}`,
    act: async (process) => {
      const items = await runOf(process, { registryUid, tenantUid, rules, isAlone });
      const taken = items.filter(({ outcome }) => outcome === 'deleted');
      return inOrder(
        `lifecycle rules, which took ${taken.map(({ tag, digest }) => `${tag ?? ''} ${digest}`).join()}`,
        taken.map(({ tag, digest }) => (model) => {
          if (tag === undefined) return take(model, digest, nowMs);
          // A tag of cosign left with what it belongs to.
          if (model.tags.get(tag) === digest) model.untag(tag, nowMs);
          return true;
        }),
      );
    },
  };
}

type LifecycleNumbers = { readonly last: number; readonly days: number };
type LifecycleAsked = {
  readonly registryUid: string;
  readonly tenantUid: string;
  readonly rules: LifecycleRuleBody[];
  readonly isAlone: boolean;
};

async function runOf(process: ContentProcess, { registryUid, tenantUid, rules, isAlone }: LifecycleAsked) {
  const lifecycles = new Lifecycles({ ...process, deletions: deletionsOf(process), region: testRegion });
  const set = { registryUid, tenantUid, everyMs: dayMs, actor: 'me' };
  await lifecycles.set({ ...set, rules });
  const preview = await Array.fromAsync(lifecycles.preview(registryUid, me, { rules: undefined, signal: job.signal }));
  const { uid } = await lifecycles.ask(registryUid);
  await lifecycles.work(job);
  const { run, items } = await lifecycles.run(registryUid, uid, 0);
  assert(run.endedAtMicros !== undefined);
  const wanted = preview.filter(({ outcome }) => outcome === 'wouldDelete');
  if (isAlone) assert.deepEqual(items.map(told), wanted.map(told), 'a run takes what its preview lists');
  if (isAlone) assert(items.every(({ outcome }) => outcome === 'deleted'));
  await lifecycles.set({ ...set, rules: [] });
  return items;
}

function told({ tag, digest, freedBytes, rule }: Pick<PurgeItem, 'tag' | 'digest' | 'freedBytes' | 'rule'>) {
  return { tag, digest, freedBytes, rule };
}

export function collectStep(): LifeStep {
  return {
    name: 'garbage collection',
    act: async (process) => {
      await collectGarbage(process, job);
      return inOrder('garbage collection', []);
    },
  };
}

/** A pull of a manifest, by its digest. */
export function pullStep({ place }: LifeMoment, { manifest }: ModelManifest): LifeStep {
  const name = `pull ${manifest.digest}`;
  const expected = ({ live }: RepositoryModel) => (live.has(manifest.digest) ? 'done' : 'manifestUnknown');
  return {
    name,
    act: async ({ manifests }) => {
      const finding = manifests.find(place, parseReference(manifest.digest), me);
      const outcome = await outcomeOf(finding.then(({ body }) => assert(manifest.bytes.equals(body))));
      return one(name, outcome, expected, () => {});
    },
  };
}

function one(
  name: string,
  outcome: string,
  expected: (model: RepositoryModel) => string,
  effect: (model: RepositoryModel) => void,
): Move {
  const change = (model: RepositoryModel) => {
    if (expected(model) !== outcome) return false;
    if (outcome === 'done') effect(model);
    return true;
  };
  return inOrder(`${name}: ${outcome}`, [change]);
}

/** A manifest that a purge says it took; it may have left before, with what it refers to. */
function take(model: RepositoryModel, digest: string, nowMs: number): boolean {
  if (!model.live.has(digest)) return true;
  if (!model.isLoose(digest)) return false;
  model.remove(digest, nowMs);
  return true;
}

function deletionsOf(process: ContentProcess): Deletions {
  return new Deletions({ ...process, region: testRegion });
}

/** `done`, or what it was refused for. */
async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof BerthError) return error.error;
    throw error;
  }
}
