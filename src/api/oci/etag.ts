import type { Context } from 'hono';
import type { Digest } from '../../core/digest.ts';
import type { Env } from '../middleware/env.ts';

/** Content never changes under its digest, so the digest is its strong validator. */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** Whether the client holds exactly this content. Source: RFC 9110, section 13.1.2. */
export function isHeld(c: Context<Env>, digest: Digest): boolean {
  const header = c.req.header('if-none-match');
  if (header === undefined) return false;
  return header.split(',').some((entry) => ['*', etagOf(digest)].includes(entry.trim().replace(/^W\//, '')));
}
