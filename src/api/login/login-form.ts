import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { SignInFrom } from '../../features/identity/sign-in.ts';
import type { Env } from '../middleware/env.ts';

const maxFormBytes = 64 * 1024;

/** For every route that reads a form. */
export const formLimit = bodyLimit({
  maxSize: maxFormBytes,
  onError: () => {
    throw new BerthError('bodyTooLarge');
  },
});

/** Throws `loginRequestInvalid`. */
export async function formOf(c: Context<Env>): Promise<URLSearchParams> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(c.req.header('content-type') ?? ''))
    throw new BerthError('loginRequestInvalid', 'Content-Type: application/x-www-form-urlencoded is expected');
  const form = new URLSearchParams(await c.req.text());
  refuseNul(form);
  return form;
}

/** PostgreSQL keeps no text with it, so no name or secret has it. Throws `loginRequestInvalid`. */
function refuseNul(parameters: Iterable<readonly [string, string]>): void {
  const wrong = [...parameters].find(([name, value]) => name.includes('\0') || value.includes('\0'));
  if (wrong !== undefined) throw new BerthError('loginRequestInvalid', 'a parameter holds the character U+0000');
}

/** Throws `loginRequestInvalid` with the names of the wrong parameters, never their values. */
export function parseParameters<Schema extends z.ZodType>(
  schema: Schema,
  parameters: Iterable<readonly [string, string]>,
): z.infer<Schema> {
  const all = [...parameters];
  refuseNul(all);
  const parsed = schema.safeParse(Object.fromEntries(all));
  if (parsed.success) return parsed.data;
  const names = parsed.error.issues.map((issue) => issue.path.join('.'));
  throw new BerthError('loginRequestInvalid', [...new Set(names)].join(', '));
}

export function fromOf(c: Context<Env>): SignInFrom {
  const { address, correlationId, userAgent } = c.var.call;
  return { address, correlationId, userAgent };
}
