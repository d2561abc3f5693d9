import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { signInWithPassword } from '../../features/identity/tenant-sign-in.ts';
import type { SignedIn } from '../../features/identity/tenant-tokens.ts';
import type { Env } from '../middleware/env.ts';
import { fromOf } from './login-form.ts';
import type { LoginParts } from './login-parts.ts';
import { outsidePersonOf } from './outside-pages.ts';

export type PageSignIn = { readonly who: SignedIn } | { readonly wrong: string; readonly status: 400 | 429 };

/** Signs in the person who filled in a form; what was wrong is for the page to say. */
export async function pageSignIn(
  parts: Pick<LoginParts, 'signIn' | 'outsideSignIn'>,
  c: Context<Env>,
  form: URLSearchParams,
  clientId: string,
): Promise<PageSignIn> {
  const person = form.get('person');
  if (person !== null) {
    const who = await outsidePersonOf(parts, c, clientId);
    return who?.principal.uid === person ? { who } : { wrong: 'Your sign-in is over. Sign in again.', status: 400 };
  }
  const [userName, password] = [form.get('username') ?? '', form.get('password') ?? ''];
  try {
    return { who: await signInWithPassword(parts.signIn, { clientId, userName, password, from: fromOf(c) }) };
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    if (error.error === 'userPasswordWrong') return { wrong: 'Wrong user name or password.', status: 400 };
    if (error.error !== 'tooManyAttempts' && error.error !== 'tooManyRequests') throw error;
    c.header('Retry-After', String(Math.ceil(error.retryAfterSeconds ?? 1)));
    return { wrong: 'Too many wrong passwords. Wait a minute, then try again.', status: 429 };
  }
}
