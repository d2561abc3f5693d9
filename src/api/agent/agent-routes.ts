import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import { parseStrictJson, StrictJsonError } from '../../core/strict-json.ts';
import type { AgentCall } from '../../features/builds/agent-call.ts';
import type { AgentPool, AgentTokens } from '../../features/builds/agent-tokens.ts';
import type { RunBuiltIn } from '../../features/builds/built-in-call.ts';
import type { Contexts } from '../../features/builds/contexts.ts';
import type { QueueWatch } from '../../features/builds/queue-watch.ts';
import type { RunLeases } from '../../features/builds/run-leases.ts';
import type { ReadVaultSecrets } from '../../features/builds/vault-secrets.ts';
import {
  type BuiltInLine,
  builtInCommandSchema,
  leaseRequestSchema,
  runResultSchema,
  vaultSecretsRequestSchema,
} from '../../wire/builds/agent-protocol.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, sendBlob, type TransferLimits } from '../middleware/streams.ts';

export type AgentRouteParts = {
  readonly builds: {
    readonly agentTokens: AgentTokens;
    readonly leases: RunLeases;
    readonly contexts: Contexts;
    readonly queue: QueueWatch;
    readonly runBuiltIn: RunBuiltIn;
    readonly readVaultSecrets: ReadVaultSecrets;
  };
  readonly transfer: TransferLimits;
};

const maxLogBytes = 1024 * 1024;
const maxMessageBytes = 4 * 1024 * 1024;
/** Agents ask again after it. */
const longestWaitMs = 25_000;

/** What agents ask for, with the token of their pool. Source: src/wire/builds/agent-protocol.ts. */
export function agentRoutes(parts: AgentRouteParts): Hono<Env> {
  const { builds, transfer } = parts;
  const routes = new Hono<Env>();
  const message = async <T>(c: Context<Env>, schema: z.ZodType<T>) => await messageOf(c, schema, transfer);
  routes.use('/agent/*', async (c, next) => {
    await poolOf(parts, c);
    await next();
  });
  routes.post('/agent/v1/lease', async (c) => {
    const request = await message(c, leaseRequestSchema);
    const gone = c.req.raw.signal;
    // Looked at each time: its token may be deleted while it waits.
    const take = async () => await builds.leases.take(await poolOf(parts, c), request, callOf(c));
    const order = await builds.queue.next(take, longestWaitMs, gone);
    return order === undefined ? c.body(null, 204) : c.json(order, 200, { 'Cache-Control': 'no-store' });
  });
  routes.post('/agent/v1/leases/:lease/heartbeat', async (c) =>
    c.json(await builds.leases.renew(c.req.param('lease'))),
  );
  routes.post('/agent/v1/leases/:lease/log', async (c) => {
    const bytes = await bytesIn(bodyIn(c, transfer), maxLogBytes, () => new BerthError('bodyTooLarge'));
    const answer = await builds.leases.appendLog(c.req.param('lease'), offsetOf(c.req.query('offset')), bytes);
    return answer.kind === 'kept' ? c.json(answer.state) : c.json({ offset: answer.offset }, 409);
  });
  routes.get('/agent/v1/leases/:lease/context', async (c) => {
    const { registry_uid: registryUid, context_path: path } = await builds.leases.held(c.req.param('lease'));
    await builds.leases.renew(c.req.param('lease'));
    if (path === null) throw new BerthError('contextUnknown');
    const { sizeBytes, bytes } = await builds.contexts.read(registryUid, path);
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': String(sizeBytes) };
    return await sendBlob(c, { status: 200, headers, bytes }, transfer);
  });
  routes.post('/agent/v1/leases/:lease/command', async (c) => {
    const { words } = await message(c, builtInCommandSchema);
    const lease = c.req.param('lease');
    await builds.leases.renew(lease);
    const run = await builds.leases.held(lease);
    const stopped = new AbortController();
    c.header('Content-Type', 'application/x-ndjson');
    return stream(c, async (out) => {
      out.onAbort(() => stopped.abort());
      const write = async (line: BuiltInLine) => {
        await out.write(`${JSON.stringify(line)}\n`);
      };
      for await (const line of builds.runBuiltIn({ run, words, from: callOf(c), signal: stopped.signal }))
        await write(line);
    });
  });
  routes.post('/agent/v1/leases/:lease/secrets', async (c) => {
    const { secrets } = await message(c, vaultSecretsRequestSchema);
    const lease = c.req.param('lease');
    await builds.leases.renew(lease);
    const run = await builds.leases.held(lease);
    const answer = await builds.readVaultSecrets({ run, secrets, from: callOf(c), signal: c.req.raw.signal });
    // Hidden before anybody knows them.
    if ('values' in answer) await builds.leases.hide(lease, answer.masked);
    return c.json(answer, 200, { 'Cache-Control': 'no-store' });
  });
  routes.post('/agent/v1/leases/:lease/finish', async (c) => {
    await builds.leases.finish(c.req.param('lease'), await message(c, runResultSchema));
    return c.body(null, 204);
  });
  return routes;
}

function callOf(c: Context<Env>): AgentCall {
  const { address, correlationId, userAgent } = c.var.call;
  return { address, correlationId, userAgent };
}

async function poolOf({ builds }: AgentRouteParts, c: Context<Env>): Promise<AgentPool> {
  const [, token] = /^Bearer ([\w-]{1,200})$/i.exec(c.req.header('authorization') ?? '') ?? [];
  return await builds.agentTokens.poolOf(token);
}

async function messageOf<T>(c: Context<Env>, schema: z.ZodType<T>, transfer: TransferLimits): Promise<T> {
  const bytes = await bytesIn(bodyIn(c, transfer), maxMessageBytes, () => new BerthError('bodyTooLarge'));
  const result = schema.safeParse(jsonOf(bytes));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new BerthError('requestInvalid', `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'wrong form'}`);
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof StrictJsonError) throw new BerthError('requestInvalid', error.message);
    throw error;
  }
}

function offsetOf(text: string | undefined): number {
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text);
  throw new BerthError('requestInvalid', 'offset is a whole number of bytes');
}
