import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { BeforeIssue } from '../../features/access/token-holder.ts';
import { anonymous } from '../../features/identity/principal.ts';
import type { Env } from '../middleware/env.ts';
import type { ThrottleRequest } from '../middleware/throttle.ts';

/**
 * Counts a request for a token once it is known who asks: for the registry alone where credentials were right. Whoever comes without, or
 * was refused before that, is a stranger, counted by the address first: none can spend what the registry has for those who sign in.
 * Throws `tooManyRequests` in place of the refusal, and what `answer` throws.
 */
export async function countTokenRequest(
  throttle: ThrottleRequest | undefined,
  c: Context<Env>,
  answer: (beforeIssue: BeforeIssue) => Promise<Response>,
): Promise<Response> {
  let isCounted = false;
  const count: BeforeIssue = (principal) => {
    isCounted = true;
    return throttle?.(c, 'oauth', principal.kind === 'anonymous' ? principal : undefined);
  };
  try {
    return await answer(count);
  } catch (error) {
    if (!isCounted && error instanceof BerthError) await count(anonymous);
    throw error;
  }
}
