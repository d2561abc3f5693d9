import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type AgentPool, type AgentToken, type AgentTokens, sharedPool } from '../../features/builds/agent-tokens.ts';
import {
  type AgentTokenCreate,
  type AgentTokenView,
  agentTokenCreateSchema,
  type NewAgentToken,
} from '../../wire/admin/agent-token-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf } from './admin-call.ts';

export type AgentTokenRouteParts = AdminCallParts & { readonly agentTokens: AgentTokens };

const sharedName = 'default';

/** What agents show: made, listed and taken back by owners. */
export function agentTokenRoutes(parts: AgentTokenRouteParts): Hono<Env> {
  const { agentTokens } = parts;
  const routes = new Hono<Env>();
  routes.post(
    '/admin/agent-tokens',
    asOwner(parts, async (c, by) => {
      const pool = poolOf(parts, await bodyOf(parts, c, agentTokenCreateSchema));
      const { uid, token } = await agentTokens.create(pool, by.uid);
      const answer: NewAgentToken = { id: uid, token };
      return c.json(answer, 201, { 'Cache-Control': 'no-store' });
    }),
  );
  routes.get(
    '/admin/agent-tokens',
    asOwner(parts, async (c) => c.json({ tokens: (await agentTokens.list()).map((token) => viewOf(parts, token)) })),
  );
  routes.delete(
    '/admin/agent-tokens/:id',
    asOwner(parts, async (c, by) => {
      const id = c.req.param('id') ?? '';
      if (!(await agentTokens.remove(id, by.uid))) throw new BerthError('agentTokenUnknown', id.slice(0, 100));
      return c.json({ id });
    }),
  );
  return routes;
}

function poolOf({ directory }: AgentTokenRouteParts, { pool, registry: name }: AgentTokenCreate): AgentPool {
  const key = pool.toLowerCase();
  if (key === sharedName) return sharedPool;
  const registry = name === undefined ? directory.defaultRegistry() : directory.byName(name);
  if (registry === undefined) throw new BerthError('registryUnknown', { name: name ?? '' });
  return { registryUid: registry.uid, key };
}

function viewOf({ directory }: AgentTokenRouteParts, { uid, pool, createdAtMicros }: AgentToken): AgentTokenView {
  return {
    id: uid,
    pool: pool.key === '' ? sharedName : pool.key,
    registry: pool.registryUid === '' ? null : (directory.byUid(pool.registryUid)?.name ?? pool.registryUid),
    createdAt: new Date(createdAtMicros / 1_000).toISOString(),
  };
}
