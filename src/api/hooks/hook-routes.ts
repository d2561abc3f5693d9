import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { GitSources } from '../../features/builds/triggers/git-sources.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';

export type HookRouteParts = {
  readonly gitSources: Pick<GitSources, 'receive'>;
  readonly transfer: TransferLimits;
};

/** GitHub sends up to 25 MiB; what is read of a message is in its first lines, but its signature is of all of it. */
const maxBodyBytes = 25 * 1024 * 1024;
const retryAfterSeconds = 60;

/** What hosts of git repositories call. The address and the signature are what lets a message in. */
export function hookRoutes({ gitSources, transfer }: HookRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.post('/hooks/git/:id', async (c) => {
    const id = c.req.param('id');
    if (!/^[0-9a-f]{32}$/.test(id)) throw new BerthError('hookUnknown');
    const body = async () => await bytesIn(bodyIn(c, transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
    const headers = new Map(Object.entries(c.req.header()).map(([name, value]) => [name.toLowerCase(), value]));
    const runs = await gitSources.receive(id, { headers, body }).catch(laterWhereFull);
    return c.json({ runs }, 202);
  });
  return routes;
}

/** Hosts that send again do so after 503; after a conflict they take the address for a wrong one. Source: Azure DevOps, "Service hooks". */
function laterWhereFull(error: unknown): never {
  if (!(error instanceof BerthError) || error.error !== 'queueFull') throw error;
  throw new BerthError('hookQueueFull', error.detail, { cause: error, retryAfterSeconds });
}
