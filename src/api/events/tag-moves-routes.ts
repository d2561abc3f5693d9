import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseTag } from '../../core/reference.ts';
import { parseRepositoryName, type RepositoryName } from '../../core/repository-name.ts';
import { classOfMethod } from '../../core/throttle-limits.ts';
import { type Authority, confirmedWith } from '../../features/access/authority.ts';
import type { MovedTag, TagMove, TagMoves } from '../../features/content/tag-moves.ts';
import { rollBack, tagDifferences } from '../../features/insight/tag-differences.ts';
import type { AsOfParts } from '../../features/insight/tags-as-of.ts';
import type { Registry } from '../../features/registries/registry.ts';
import {
  type MovedTagsView,
  type Release,
  releaseSchema,
  rollbackSchema,
  type TagDifferencesView,
} from '../../wire/acr/tag-moves-schema.ts';
import { jsonIn } from '../acr/json-body.ts';
import { type AdminCallParts, asOwner, registryNamed } from '../admin/admin-call.ts';
import type { Env } from '../middleware/env.ts';
import { countOnce, type ThrottleRequest } from '../middleware/throttle.ts';
import { instantOf } from './instant.ts';

export type TagMovesRouteParts = AsOfParts &
  AdminCallParts & {
    readonly tagMoves: Pick<TagMoves, 'apply'>;
    /** Nobody is held back when absent. */
    readonly throttle?: ThrottleRequest;
  };

/** What is done to one repository, and the right that it takes. */
export const repositoryTagMoves = [
  { method: 'GET', word: '_diff', action: 'metadata_read' },
  { method: 'POST', word: '_rollback', action: 'push' },
] as const;

type Allow = (action: 'metadata_read' | 'pull' | 'push' | 'delete', repository: RepositoryName) => Promise<Authority>;

/** A request after the registry was found; `allow` decides for each repository it names. */
type Call = { readonly c: Context<Env>; readonly registry: Registry; readonly allow: Allow };

/**
 * Tags as they differ between two instants, tags put back to where they were, and tags of several repositories moved at once:
 * for those with rights on the repositories below `/acr/v1/`, and for the owner below `/admin/`. Others pass by.
 */
export function tagMovesRoutes(parts: TagMovesRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.post('/acr/v1/_release', async (c) => await release(parts, callOf(parts, c)));
  routes.use('/acr/v1/*', async (c, next) => {
    const [, given = '', word = ''] = /^\/acr\/v1\/(.+)\/(_diff|_rollback)$/.exec(c.req.path) ?? [];
    const name = decoded(given);
    // Behind another word it is the name of a tag.
    if (word === '' || name.split('/').some((segment) => segment.startsWith('_'))) return await next();
    const repository = parseRepositoryName(name);
    const known = repositoryTagMoves.find((route) => route.word === word);
    if (known?.method !== c.req.method) {
      c.header('Allow', known?.method ?? '');
      throw new BerthError('unsupported', { method: c.req.method, allowed: known === undefined ? [] : [known.method] });
    }
    const call = callOf(parts, c);
    return await (word === '_diff' ? diff(parts, call, repository) : rollback(parts, call, repository));
  });
  const owner = (handle: (call: Call) => Promise<Response>) =>
    asOwner(
      parts,
      async (c, _by, authority) => await handle({ c, registry: registryNamed(parts, c), allow: async () => authority }),
    );
  const admin = '/admin/registries/:name';
  const repositoryOf = (c: Context<Env>) => parseRepositoryName(c.req.query('repository') ?? '');
  routes.post(
    `${admin}/release`,
    owner(async (call) => await release(parts, call)),
  );
  routes.get(
    `${admin}/tag-diff`,
    owner(async (call) => await diff(parts, call, repositoryOf(call.c))),
  );
  routes.post(
    `${admin}/rollback`,
    owner(async (call) => await rollback(parts, call, repositoryOf(call.c))),
  );
  return routes;
}

function callOf(parts: TagMovesRouteParts, c: Context<Env>): Call {
  const { registry, address, correlationId, userAgent } = c.var.call;
  const allow: Allow = async (action, repository) => {
    const authority = await parts.authorize({
      registry,
      authorization: c.req.header('authorization'),
      action,
      repository,
      circumstances: { address, surface: 'acr', correlationId, userAgent },
    });
    await countOnce(parts.throttle, c, classOfMethod(c.req.method), authority.principal);
    return authority;
  };
  return { c, registry, allow };
}

async function release(parts: TagMovesRouteParts, { c, registry, allow }: Call): Promise<Response> {
  const moves = (await bodyIn(parts, c, releaseSchema, 'moves')).moves.map(moveOf);
  const authorities = new Map<string, Authority>();
  for (const [repository, some] of Map.groupBy(moves, (move) => move.repository)) {
    // Where tags point is told to those who may pull.
    await allow('pull', repository);
    const pushing = await allow('push', repository);
    const deletes = some.some(({ digest }) => digest === undefined);
    const deleting = deletes ? await allow('delete', repository) : undefined;
    const authority = deleting && confirmedWith(pushing, async (epoch) => await deleting.confirm(epoch));
    authorities.set(repository, authority ?? pushing);
  }
  const moved = await parts.tagMoves.apply(registry.uid, moves, (repository) => {
    const authority = authorities.get(repository);
    if (authority === undefined) throw new Error(`nothing was decided for ${repository}`);
    return authority;
  });
  return c.json(movedView(moved));
}

async function diff(
  parts: TagMovesRouteParts,
  { c, registry, allow }: Call,
  repository: RepositoryName,
): Promise<Response> {
  const authority = await allow('metadata_read', repository);
  const to = c.req.query('to');
  const instants = {
    fromMicros: instantOf('from', c.req.query('from') ?? ''),
    toMicros: to === undefined ? parts.clock.nowMicros() : instantOf('to', to),
  };
  const found = await tagDifferences(parts, { registryUid: registry.uid, repository }, authority, instants);
  const tags = found.map(({ tag, from, to }) => ({ tag, from: from ?? null, to: to ?? null }));
  const view: TagDifferencesView = { repository, tags };
  return c.json(view);
}

async function rollback(
  parts: TagMovesRouteParts,
  { c, registry, allow }: Call,
  repository: RepositoryName,
): Promise<Response> {
  await allow('pull', repository);
  const authority = await allow('push', repository);
  const { asOf, tag, dryRun } = await bodyIn(parts, c, rollbackSchema, 'asOf');
  const moved = await rollBack(parts, { registryUid: registry.uid, repository }, authority, {
    atMicros: instantOf('asOf', asOf),
    tag: tag === undefined ? undefined : parseTag(tag),
    isDryRun: dryRun,
  });
  return c.json(movedView(moved));
}

function moveOf({ repository, tag, digest, expected }: Release['moves'][number]): TagMove {
  return {
    repository: parseRepositoryName(repository),
    tag: parseTag(tag),
    digest: digest === null ? undefined : parseDigest(digest),
    expected: expected === undefined || expected === null ? expected : parseDigest(expected),
  };
}

function movedView(moved: readonly MovedTag[]): MovedTagsView {
  const moves = moved.map(({ repository, tag, digest, previous }) => ({
    repository,
    tag,
    digest: digest ?? null,
    previous: previous ?? null,
  }));
  return { moves };
}

/** Throws `requestInvalid`, which says what is wrong, and `bodyTooLarge`. */
async function bodyIn<T>(
  { transfer }: TagMovesRouteParts,
  c: Context<Env>,
  schema: z.ZodType<T>,
  expected: string,
): Promise<T> {
  const { data, error } = schema.safeParse(await jsonIn(c, transfer));
  if (error === undefined) return data;
  const [first] = error.issues;
  const field = first?.path.join('.') || expected;
  throw new BerthError('requestInvalid', { [field]: first?.message ?? 'a JSON object is expected' });
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    // Malformed escapes name nothing.
    throw new BerthError('routeUnknown');
  }
}
