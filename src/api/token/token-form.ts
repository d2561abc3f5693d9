import type { Context } from 'hono';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Call, Env } from '../middleware/env.ts';

/** Of the forms of this surface: two tokens and some scopes. */
export const maxFormBytes = 64 * 1024;
/** A hundred scopes and a handful. */
const maxParameters = 200;

/** The form in the body. Throws `requestInvalid`. */
export async function formOf<Schema extends z.ZodType>(c: Context<Env>, schema: Schema): Promise<z.infer<Schema>> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(c.req.header('content-type') ?? ''))
    throw new BerthError('requestInvalid', { 'Content-Type': 'application/x-www-form-urlencoded is expected' });
  return parseParameters(schema, new URLSearchParams(await c.req.text()));
}

/** Throws `requestInvalid` with the names of the wrong fields, never their values. */
export function parseParameters<Schema extends z.ZodType>(
  schema: Schema,
  parameters: URLSearchParams,
): z.infer<Schema> {
  if (parameters.size > maxParameters)
    throw new BerthError('requestInvalid', { parameters: parameters.size, limit: maxParameters });
  const byName = Map.groupBy(parameters, ([name]) => name);
  const given = [...byName].map(([name, pairs]) => {
    const texts = pairs.map(([, text]) => text);
    return [name, texts.length === 1 ? texts.join() : texts] as const;
  });
  const parsed = schema.safeParse(Object.fromEntries(given));
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => issue.path.join('.'));
  throw new BerthError('requestInvalid', { fields: [...new Set(fields)] });
}

/** A token is for this registry, whatever name the client reached it by. Throws `requestInvalid`. */
export function checkService(service: string | undefined, { registry, origin }: Call): void {
  const names = [registry.loginServer, new URL(origin).host];
  if (service !== undefined && !names.includes(service.toLowerCase()))
    throw new BerthError('requestInvalid', { service: `this is the service ${registry.loginServer}` });
}

export function refuseBody(): never {
  throw new BerthError('bodyTooLarge');
}

/** Where a request for a token comes from. */
export function circumstancesOf({ address, correlationId, userAgent }: Call) {
  return { address, surface: 'token', correlationId, userAgent } as const;
}
