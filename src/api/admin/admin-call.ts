import type { Context } from 'hono';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Authorize } from '../../features/access/access.ts';
import type { Authority } from '../../features/access/authority.ts';
import type { Principal } from '../../features/identity/principal.ts';
import type { Directory } from '../../features/registries/directory.ts';
import type { Registry } from '../../features/registries/registry.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';

export type AdminCallParts = {
  readonly authorize: Authorize;
  readonly directory: Directory;
  readonly transfer: TransferLimits;
};

const maxBodyBytes = 1024 * 1024;

type Handler = (c: Context<Env>, by: Principal, authority: Authority) => Promise<Response>;

/** A route of the admin API: owners only, decided as `administer`. Long work asks again through the authority. */
export function asOwner(parts: AdminCallParts, handle: Handler): (c: Context<Env>) => Promise<Response> {
  return async (c) => {
    const { registry, address, correlationId, userAgent } = c.var.call;
    const authority = await parts.authorize({
      registry,
      authorization: c.req.header('authorization'),
      action: 'administer',
      circumstances: { address, surface: 'admin', correlationId, userAgent },
    });
    return await handle(c, authority.principal, authority);
  };
}

/** The registry that the path names. Throws `registryUnknown`. */
export function registryNamed({ directory }: AdminCallParts, c: Context<Env>): Registry {
  const name = c.req.param('name') ?? '';
  const registry = directory.byName(name);
  if (registry === undefined) throw new BerthError('registryUnknown', { name });
  return registry;
}

/** Throws `bodyTooLarge` and `requestInvalid`. */
export async function bodyOf<T>({ transfer }: AdminCallParts, c: Context<Env>, schema: z.ZodType<T>): Promise<T> {
  const bytes = await bytesIn(bodyIn(c, transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  const result = schema.safeParse(parseJson(new TextDecoder().decode(bytes)));
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
  throw new BerthError('requestInvalid', problems);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses it and says what is expected.
    return undefined;
  }
}
