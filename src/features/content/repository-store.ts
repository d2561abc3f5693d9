import { type Expression, sql } from 'kysely';
import type { Queries } from '../../platform/database/database.ts';
import { DuplicateKey } from '../../platform/database/duplicate-key.ts';
import { hotStatement } from '../../platform/database/hot-query.ts';
import type { Visible } from '../access/decision.ts';
import { isListed } from './attributes.ts';
import type { Change } from './authorized-change.ts';
import type { Place } from './place.ts';
import { beginningIn } from './repository-templates.ts';

type Value = string | Expression<string>;

/**
 * What every query of content begins with: the registry beside its tenant's current access epoch, and the repository where it
 * exists. One row whenever the registry does.
 */
export function fromRepository(queries: Queries, at: { readonly registry: Value; readonly repository: Value }) {
  return queries
    .selectFrom('registries as g')
    .innerJoin('tenants as t', 't.uid', 'g.tenant_uid')
    .leftJoin('repositories as r', (join) =>
      join.onRef('r.registry_uid', '=', 'g.uid').on('r.name', '=', at.repository),
    )
    .where('g.uid', '=', at.registry)
    .select('t.access_epoch as epoch');
}

/** A repository that is there. `ownImmutableTags`: JSON of its rules for tags that are written once. */
export type EnsuredRepository = { readonly uid: string; readonly ownImmutableTags: () => Promise<string> };

/**
 * The repository; made by the registry's template where there is none. The next statement that is waited for throws
 * DuplicateKey when somebody else has made it meanwhile.
 */
export async function ensureRepository(
  { tx, repositoryUid, registry: { ownImmutableTags }, passTemplates, rewritten }: Change,
  { registryUid: registry, repository: name }: Place,
  { uid, nowMicros: now }: { readonly uid: string; readonly nowMicros: number },
): Promise<EnsuredRepository> {
  if (repositoryUid !== undefined) return { uid: repositoryUid, ownImmutableTags: async () => ownImmutableTags };
  await passTemplates();
  const answer = await insertRepository.ahead(tx, { registry, name, uid, now });
  const made = async () => {
    const [row] = await answer();
    if (row === undefined) throw new Error('an inserted repository returned no row');
    return { ...row, repositoryUid: uid, changedAt: now };
  };
  rewritten(made);
  return { uid, ownImmutableTags: async () => (await made()).ownImmutableTags };
}

const insertRepository = hotStatement(['registry', 'name', 'uid', 'now'], (on, parameter) =>
  on
    .insertInto('repositories')
    .values({
      uid: parameter('uid'),
      registry_uid: parameter('registry'),
      name: parameter('name'),
      created_at: parameter('now'),
      changed_at: parameter('now'),
      ...beginningIn(sql`cast(${parameter('registry')} as text)`, sql`cast(${parameter('name')} as text)`),
    })
    .returning(['locks', 'immutable_tags as ownImmutableTags']),
);

/**
 * To be called in the first transaction of a deletion in slices, which leaves what is pushed meanwhile: a push that took its time before
 * and comes after, in `createAuthorizedChange`, takes it anew. As `sendAhead`.
 */
export async function touchRepository(
  { tx, repositoryUid: repository = '', rewritten }: Change,
  nowMicros: number,
): Promise<void> {
  await touch.ahead(tx, { repository, now: nowMicros });
  rewritten();
}

const touch = hotStatement(['repository', 'now'], (on, parameter) =>
  on
    .updateTable('repositories')
    .set({
      changed_at: sql<number>`case when changed_at >= ${parameter('now')} then changed_at + 1 else ${parameter('now')} end`,
    })
    .where('uid', '=', parameter<string>('repository')),
);

/** Two made the same repository at once, and this is what the second one got: it has to begin anew. */
export function isRepositoryMade(error: unknown): boolean {
  return error instanceof DuplicateKey && error.constraint === 'repositories_name';
}

/** Names of repositories that hold a manifest, in byte order, after `last`. */
export async function listRepositories(
  queries: Queries,
  query: { readonly registryUid: string; readonly visible: Visible; readonly last: string; readonly limit: number },
): Promise<string[]> {
  const { visible } = query;
  if (visible.kind === 'none') return [];
  let select = queries
    .selectFrom('repositories as r')
    .select('r.name')
    .where('r.registry_uid', '=', query.registryUid)
    .where(isListed('r.locks'))
    .where((where) =>
      where.exists(where.selectFrom('manifests as m').select('m.digest').whereRef('m.repository_uid', '=', 'r.uid')),
    );
  if (visible.kind === 'some') {
    select = select.where((where) =>
      where.or([
        ...(visible.names.length === 0 ? [] : [where('r.name', 'in', visible.names)]),
        ...visible.prefixes.map((prefix) =>
          where.and([where('r.name', '>=', prefix), where('r.name', '<', endOfPrefix(prefix))]),
        ),
      ]),
    );
  }
  const page = async (last: string) => {
    const rows = await select.where('r.name', '>', last).orderBy('r.name').limit(query.limit).execute();
    return rows.map((row) => row.name);
  };
  const matches = visible.kind === 'some' ? visible.matches : undefined;
  return matches === undefined ? await page(query.last) : await matching(page, matches, query);
}

/** Looks on until a page is full: a condition may leave out what a query cannot. */
async function matching(
  page: (last: string) => Promise<string[]>,
  matches: (name: string) => boolean,
  { last, limit }: { readonly last: string; readonly limit: number },
): Promise<string[]> {
  const found: string[] = [];
  let names = await page(last);
  while (names.length > 0 && found.length < limit) {
    found.push(...names.filter(matches));
    names = names.length < limit ? [] : await page(names.at(-1) ?? '');
  }
  return found.slice(0, limit);
}

/** The first text in byte order after every text with this prefix; names are ASCII. */
function endOfPrefix(prefix: string): string {
  return `${prefix}\u007f`;
}
