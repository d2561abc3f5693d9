import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';

const maxBodyBytes = 64 * 1024;

/** The JSON of a body; undefined for what is none, which the schema of the route then refuses. Throws `bodyTooLarge`. */
export async function jsonIn(c: Context<Env>, limits: TransferLimits): Promise<unknown> {
  const bytes = await bytesIn(bodyIn(c, limits), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // Said by the schema in the words of the route.
    return undefined;
  }
}
