import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag } from '../../core/reference.ts';
import { parseRepositoryName, type RepositoryName } from '../../core/repository-name.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { Authority } from '../access/authority.ts';
import type { Listed } from '../content/paging.ts';
import type { Place } from '../content/place.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { type Flag, readFlags, signInFlags } from './command-flags.ts';
import { reasonOf, standingOf } from './run-standing.ts';

/** What is listed or deleted: how a line names it, and how it is done. */
type Kind = {
  /** `tags`. */
  readonly many: string;
  /** Between the repository and the name. */
  readonly sign: ':' | '@';
  readonly page: (parts: BuiltInParts, place: Place, authority: Authority, last: Last) => Promise<Listed<string>>;
  /** Throws what the name or the deletion is refused for. */
  readonly remove: (parts: BuiltInParts, place: Place, authority: Authority, name: string) => Promise<void>;
};
type Last = { readonly name: string; readonly changedAt: undefined } | undefined;

const pageLength = 500;
export const contentFlags: readonly Flag[] = [{ name: 'repository', kind: 'text' }, ...signInFlags];

const tags: Kind = {
  many: 'tags',
  sign: ':',
  page: async ({ metadata }, place, authority, last) =>
    namesOf(
      await metadata.tags(place, authority, { page: { limit: pageLength, order: 'name', last }, digest: undefined }),
      ({ name }) => name,
    ),
  remove: async ({ deletions }, place, authority, name) => await deletions.tag(place, authority, parseTag(name)),
};

const manifests: Kind = {
  many: 'manifests',
  sign: '@',
  page: async ({ metadata }, place, authority, last) =>
    namesOf(
      await metadata.manifests(place, authority, { page: { limit: pageLength, order: 'name', last } }),
      ({ digest }) => digest,
    ),
  remove: async ({ deletions }, place, authority, name) =>
    await deletions.manifest(place, authority, parseDigest(name)),
};

function namesOf<T>({ entries, next }: Listed<T>, nameOf: (entry: T) => string): Listed<string> {
  return { entries: entries.map(nameOf), next };
}

export type ContentCommand = (
  parts: BuiltInParts,
  call: BuiltInCall,
  words: readonly string[],
) => AsyncGenerator<BuiltInLine>;

/** `acr tag list`. All of them throw `requestInvalid`, `nameInvalid`, and what `standingOf` and lists do. Source: Azure/acr-cli, cmd/acr. */
export const tagList: ContentCommand = (...given) => list(tags, ...given);
export const manifestList: ContentCommand = (...given) => list(manifests, ...given);
/** The manifests of the tags stay. */
export const tagDelete: ContentCommand = (...given) => remove(tags, ...given);
/** With the tags on them. */
export const manifestDelete: ContentCommand = (...given) => remove(manifests, ...given);

type Target = {
  readonly repository: RepositoryName;
  readonly registry: string | undefined;
  readonly names: readonly string[];
};

async function* list(kind: Kind, ...[parts, call, words]: Parameters<ContentCommand>): AsyncGenerator<BuiltInLine> {
  const { repository, registry: named, names } = targetOf(words);
  if (names[0] !== undefined) throw wrong(`unknown argument: ${names[0].slice(0, 100)}`);
  const { registry, authority, end } = await standingOf(parts, call, {
    registry: named,
    action: 'metadata_read',
    repository,
  });
  try {
    const place = { registryUid: registry.uid, repository };
    let last: Last;
    for (let isFirst = true; isFirst || last !== undefined; isFirst = false) {
      const { entries, next } = await kind.page(parts, place, authority, last);
      if (isFirst) yield { line: `Listing ${kind.many} for the "${repository}" repository:` };
      for (const name of entries) yield { line: lineOf(kind, registry.loginServer, repository, name) };
      last = next === undefined || call.signal.aborted ? undefined : { name: next, changedAt: undefined };
    }
  } finally {
    await end();
  }
  yield { exitCode: call.signal.aborted ? 1 : 0 };
}

/** Each is told when it is gone; the first that cannot be deleted ends it. */
async function* remove(kind: Kind, ...[parts, call, words]: Parameters<ContentCommand>): AsyncGenerator<BuiltInLine> {
  const { repository, registry: named, names } = targetOf(words);
  if (names.length === 0) throw wrong(`say which ${kind.many} of ${repository} to delete, parted by blanks`);
  const wanted = { registry: named, action: 'delete', repository } as const;
  const { registry, authority, end } = await standingOf(parts, call, wanted);
  let failure: string | undefined;
  try {
    for (const name of names) {
      if (call.signal.aborted) break;
      const line = lineOf(kind, registry.loginServer, repository, name);
      try {
        await kind.remove(parts, { registryUid: registry.uid, repository }, authority, name);
      } catch (error) {
        failure = `Error: failed to delete ${line}: ${reasonOf(parts.log, error)}`;
        break;
      }
      yield { line };
    }
  } finally {
    await end();
  }
  if (failure !== undefined) yield { line: failure };
  yield { exitCode: failure === undefined && !call.signal.aborted ? 0 : 1 };
}

function targetOf(words: readonly string[]): Target {
  const { last, operands } = readFlags(contentFlags, words, wrong);
  const repository = last('repository');
  if (repository === undefined) throw wrong('required flag(s) "repository" not set');
  return { repository: parseRepositoryName(repository), registry: last('registry'), names: operands };
}

function lineOf({ sign }: Kind, loginServer: string, repository: string, name: string): string {
  return `${loginServer}/${repository}${sign}${name.slice(0, 300)}`;
}

function wrong(message: string): BerthError {
  return new BerthError('requestInvalid', message);
}
