import type { SignInFrom } from '../../features/identity/sign-in.ts';
import type { Env } from '../middleware/env.ts';

/** What is known of a request to the identity endpoint before any route runs. */
export type IdentityEnv = { Variables: { from: SignInFrom }; Bindings: Env['Bindings'] };
