import { parseRepositoryName, type RepositoryName } from '../../core/repository-name.ts';
import type { BuiltInLine } from '../../wire/builds/agent-protocol.ts';
import type { Authority } from '../access/authority.ts';
import type { Attributes } from '../content/attributes.ts';
import type { Metadata, TagMetadata } from '../content/metadata.ts';
import { filtered } from '../retention/sliced.ts';
import { type AnnotateWords, parseAnnotateWords } from './annotate-words.ts';
import { type Annotating, attachAnnotations, isAnnotated } from './attach-annotations.ts';
import type { BuiltInCall, BuiltInParts } from './built-in-call.ts';
import { danglingManifests } from './dangling-manifests.ts';
import { type Standing, standingOf } from './run-standing.ts';

const dryRunHeader =
  'DRY RUN: The following output shows what WOULD be annotated if the annotate command was executed. Nothing is annotated.';
const pageLength = 500;

export type AnnotateParts = Omit<BuiltInParts, 'deletions' | 'log' | 'metadata'> & {
  readonly metadata: Pick<Metadata, 'tags'>;
};

type Totals = { tags: number; manifests: number; locked: number };

/**
 * `acr annotate`: an artifact without content that says something of an image is attached to each that the filters take. What is
 * locked is left alone. Throws `purgeInvalid`, and what `standingOf`, lists and pushes do. Source: Azure/acr-cli, cmd/acr.
 */
export async function* annotate(
  parts: AnnotateParts,
  call: BuiltInCall,
  given: readonly string[],
): AsyncGenerator<BuiltInLine> {
  const words = parseAnnotateWords(given);
  const wanted = { registry: words.registry, action: 'catalogList', isPushing: true } as const;
  const standing = await standingOf(parts, call, wanted);
  const totals: Totals = { tags: 0, manifests: 0, locked: 0 };
  try {
    if (words.isDryRun) yield { line: dryRunHeader };
    for (const line of words.notes) yield { line };
    for await (const repository of repositoriesOf(parts, standing, words)) {
      if (call.signal.aborted) break;
      for await (const line of annotateRepository(parts, standing, { words, repository, totals, call })) yield { line };
    }
  } finally {
    await standing.end();
  }
  for (const line of totalsOf(totals, words)) yield { line };
  yield { exitCode: call.signal.aborted ? 1 : 0 };
}

function totalsOf({ tags, manifests, locked }: Totals, { isDryRun }: AnnotateWords): readonly string[] {
  const label = (what: string) => (isDryRun ? `Number of ${what} to be annotated` : `Number of annotated ${what}`);
  const lines = ['', `${label('tags')}: ${tags}`, `${label('manifests')}: ${manifests}`];
  return locked === 0 ? lines : [...lines, `${locked} tags skipped as they are locked`];
}

/** In the order of their names. */
async function* repositoriesOf(
  { listings }: AnnotateParts,
  { registry, authority }: Standing,
  { filters }: AnnotateWords,
): AsyncGenerator<RepositoryName> {
  let last: string | undefined = '';
  while (last !== undefined) {
    const { entries, next } = await listings.catalog(registry.uid, authority, { limit: pageLength, last });
    const takes = (name: string) => filters.some((filter) => filter.matchesRepository(name));
    for await (const name of filtered(entries, takes)) yield parseRepositoryName(name);
    last = next;
  }
}

type OneRepository = {
  readonly words: AnnotateWords;
  readonly repository: RepositoryName;
  readonly totals: Totals;
  readonly call: BuiltInCall;
};

async function* annotateRepository(
  parts: AnnotateParts,
  { registry, decide }: Standing,
  { words, repository, totals, call }: OneRepository,
): AsyncGenerator<string> {
  const { isDryRun, takesUntagged } = words;
  const listing = await decide('metadata_read', repository);
  const place = { registryUid: registry.uid, repository };
  const reading = await decide('pull', repository);
  // What only says what it would do needs no right to do it.
  const annotating = { place, pushing: isDryRun ? reading : await decide('push', repository), reading, words };
  const host = `${registry.loginServer}/${repository}`;
  const begin = (what: string) => (isDryRun ? `${what} for this repository would be annotated` : `Annotating ${what}`);
  yield '';
  yield isDryRun ? `${begin('Tags')}: ${repository}` : `${begin('tags')} for repository: ${repository}`;
  for await (const { name, digest, attributes } of tagsOf(parts, annotating, listing)) {
    if (call.signal.aborted) return;
    if (!mayAnnotate(words, attributes)) totals.locked += 1;
    else if (!(await isAnnotated(parts, annotating, digest))) {
      if (isDryRun || (await attachAnnotations(parts, annotating, digest))) {
        totals.tags += 1;
        yield isDryRun ? `${host}:${name}` : `Annotated ${host}@${digest}`;
      } else yield gone(host, digest);
    }
  }
  if (!takesUntagged) return;
  yield isDryRun ? `${begin('Manifests')}: ${repository}` : `${begin('manifests')} for repository: ${repository}`;
  for await (const { digest, attributes } of danglingManifests(parts.database.read, place, listing)) {
    if (call.signal.aborted) return;
    if (!mayAnnotate(words, attributes) || (!words.includesLocked && !attributes.deleteEnabled)) continue;
    if (isDryRun || (await attachAnnotations(parts, annotating, digest))) {
      totals.manifests += 1;
      yield `${isDryRun ? 'Would annotate:' : 'Annotated'} ${host}@${digest}`;
    } else yield gone(host, digest);
  }
}

/** Deleted since it was listed, as `acr purge` says it. */
function gone(host: string, digest: string): string {
  return `Skipped ${host}@${digest}, HTTP status: 404`;
}

function mayAnnotate({ includesLocked }: AnnotateWords, { writeEnabled }: Attributes): boolean {
  return includesLocked || writeEnabled;
}

/** Those that a filter takes. */
async function* tagsOf(
  { metadata }: AnnotateParts,
  { place, words }: Annotating,
  authority: Authority,
): AsyncGenerator<TagMetadata> {
  const filters = words.filters.filter((filter) => filter.matchesRepository(place.repository));
  let last: { readonly name: string; readonly changedAt: undefined } | undefined;
  for (let isFirst = true; isFirst || last !== undefined; isFirst = false) {
    const page = { limit: pageLength, order: 'name', last } as const;
    const { entries, next } = await metadata.tags(place, authority, { page, digest: undefined });
    yield* filtered(entries, ({ name }) => filters.some((filter) => filter.matchesTag(name)));
    last = next === undefined ? undefined : { name: next, changedAt: undefined };
  }
}
