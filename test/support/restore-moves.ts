import type { RepositoryModel } from './content-model.ts';
import type { Move } from './serial-orders.ts';

type Asked = { readonly digest: string; readonly tag: string | undefined; readonly nowMs: number };

/**
 * What a restore does that answered `outcome`, `done` or the error: parts come back with the manifest and its tag, all or none, then
 * what refers to it, and so on. What refers to it and is dropped for good meanwhile stays away, and the restore goes on.
 */
export function restoreMoves(asked: Asked, outcome: string): Move {
  const name = `restore ${asked.digest} ${outcome}`;
  const move = (what: string, apply: Move['apply']): Move => ({ name: `${name}: ${what}`, apply });
  const failed = () => (outcome === 'manifestUnknown' ? 'end' : 'impossible');
  const ended = () => (outcome === 'done' ? 'end' : 'impossible');

  const look = move('look', (model) => {
    const parts = model.keptParts(asked.digest);
    return model.live.has(asked.digest) || model.kept.has(asked.digest) ? putBack(parts) : failed();
  });
  const putBack = (parts: readonly string[]): Move =>
    move(`itself and ${parts.join()}`, (model) => {
      const trial = model.copy();
      if (!parts.every((part) => trial.putBack(part)) || !canPutBack(trial, asked.digest)) return failed();
      for (const part of [...parts, asked.digest]) model.putBack(part);
      model.settle(asked.digest, asked.tag, asked.nowMs);
      return lookForReferrers([asked.digest]);
    });
  const lookForReferrers = (subjects: readonly string[]): Move =>
    move(`referrers of ${subjects.join()}`, (model) => {
      const referrers = model.keptReferrers(subjects);
      const indexes = referrers.filter((digest) => model.known.get(digest)?.children.length !== 0);
      const others = referrers.filter((digest) => !indexes.includes(digest));
      const after = indexes.reduceRight(
        (next, digest) => putWhole(digest, undefined, next),
        lookForSignatures(subjects, referrers),
      );
      return move(`put back ${others.join()} then ${after.name}`, (later) => {
        for (const digest of others) later.putBack(digest);
        return after;
      });
    });
  const lookForSignatures = (subjects: readonly string[], referrers: readonly string[]): Move =>
    move(`signatures of ${subjects.join()}, ${referrers.join()}`, (model) => {
      const signatures = model.keptSignatures(subjects);
      const next = [...referrers, ...signatures.map(({ digest }) => digest)];
      if (next.length === 0) return ended();
      return signatures.reduceRight(
        (after, { tag, digest }) => putWhole(digest, tag, after),
        lookForReferrers([...new Set(next)]),
      );
    });
  const putWhole = (digest: string, tag: string | undefined, next: Move): Move =>
    move(`whole ${tag} ${digest} then ${next.name}`, (model) =>
      putWithParts(digest, tag, model.keptParts(digest), next),
    );
  const putWithParts = (digest: string, tag: string | undefined, parts: readonly string[], next: Move): Move => {
    const last = move(`put back ${tag} ${digest} then ${next.name}`, (model) => {
      if (isTaken(model, tag, digest) || !canPutBack(model, digest)) return next;
      model.putBack(digest);
      if (tag !== undefined) model.settle(digest, tag, asked.nowMs);
      return next;
    });
    if (parts.length === 0) return last;
    return move(`put back ${parts.join()} then ${last.name}`, (model) => {
      for (const part of parts) model.putBack(part);
      return last;
    });
  };
  return look;
}

function canPutBack(model: RepositoryModel, digest: string): boolean {
  return model.live.has(digest) || (model.kept.has(digest) && model.isWhole(digest));
}

function isTaken(model: RepositoryModel, tag: string | undefined, digest: string): boolean {
  const held = tag === undefined ? undefined : model.tags.get(tag);
  return held !== undefined && held !== digest;
}
