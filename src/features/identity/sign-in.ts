import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { PasswordHasher } from '../../platform/keys/password-hasher.ts';
import { verifySecret } from '../../platform/keys/secret-hash.ts';
import { findLogins, type Login, loginKey, type Standing } from './principal-store.ts';
import { SignInLimits } from './sign-in-limits.ts';

/** A refusal is answered at a multiple of this, so that its time tells nothing of the work behind it. */
const refusalStepMs = 500;
/** No user name or password of ours is longer, in characters. */
const maxLength = 1024;

/** From where someone signs in, for limits and the access log. */
export type SignInFrom = {
  readonly address: string;
  readonly correlationId: string;
  readonly userAgent: string | undefined;
};

export type SignInAttempt = {
  /** Undefined to sign in to the tenant: accounts that live inside a registry do not count there. */
  readonly registryUid: string | undefined;
  readonly userName: string;
  readonly password: string;
  readonly from: SignInFrom;
};

/**
 * Checks a user name and password against the principals of the tenant and, on a registry, that registry's own. Each call is a real check and
 * one line of the access log; callers keep successes. Undefined when they are wrong, after the same time whether the name
 * exists or not. Throws `tooManyAttempts` (docs/decisions/sign-in-throttling.md).
 */
export type SignIn = (attempt: SignInAttempt) => Promise<Standing | undefined>;

export type SignInParts = {
  readonly database: Database;
  readonly tenantUid: string;
  readonly passwords: PasswordHasher;
  readonly accessLog: AccessLog;
  readonly clock: Clock;
};

type Outcome =
  | { readonly kind: 'signedIn'; readonly login: Login }
  | { readonly kind: 'refused'; readonly known: Login | undefined }
  | { readonly kind: 'unheard'; readonly waitSeconds: number };

export function createSignIn(parts: SignInParts): SignIn {
  const limits = new SignInLimits(parts.clock);
  return async (attempt) => {
    const startedMs = parts.clock.monotonicMs();
    const outcome = await tryLogins(parts, limits, attempt);
    record(parts.accessLog, attempt, outcome);
    switch (outcome.kind) {
      case 'signedIn':
        return outcome.login;
      case 'unheard':
        throw new BerthError('tooManyAttempts', undefined, { retryAfterSeconds: outcome.waitSeconds });
      case 'refused':
        await parts.clock.sleep(refusalStepMs - ((parts.clock.monotonicMs() - startedMs) % refusalStepMs));
        return undefined;
    }
  };
}

/** Nobody guesses a generated secret, so those are compared before any limit: a right one always works. */
async function tryLogins(parts: SignInParts, limits: SignInLimits, attempt: SignInAttempt): Promise<Outcome> {
  const logins = await loginsOf(parts, attempt);
  const generated = logins.find((login) => verifySecret(attempt.password, login.verifier));
  if (generated !== undefined) return { kind: 'signedIn', login: generated };
  const hearing = limits.hear({ userName: loginKey(attempt.userName), address: attempt.from.address });
  if (hearing.kind === 'unheard') return hearing;
  try {
    const login = await findAsync(logins, (each) => parts.passwords.verify(attempt.password, each.verifier));
    if (login === undefined) return { kind: 'refused', known: logins[0] };
    hearing.succeeded();
    return { kind: 'signedIn', login };
  } catch (error) {
    hearing.withdraw();
    throw error;
  }
}

async function loginsOf({ database, tenantUid, clock }: SignInParts, attempt: SignInAttempt): Promise<Login[]> {
  const { registryUid, userName, password } = attempt;
  if (userName.length > maxLength || password.length > maxLength) return [];
  const logins = await findLogins(database.read, { tenantUid, registryUid, userName });
  const now = clock.nowMicros();
  return logins.filter(
    ({ startsAtMicros = 0, expiresAtMicros = now + 1 }) => startsAtMicros <= now && now < expiresAtMicros,
  );
}

async function findAsync<T>(items: readonly T[], isRight: (item: T) => Promise<boolean>): Promise<T | undefined> {
  for (const item of items) if (await isRight(item)) return item;
  return undefined;
}

const statuses = { signedIn: 200, refused: 401, unheard: 429 } as const;

/** A name that does not exist is not written down: people type passwords there. */
function record(accessLog: AccessLog, { registryUid, from }: SignInAttempt, outcome: Outcome): void {
  const login = outcome.kind === 'signedIn' ? outcome.login : outcome.kind === 'refused' ? outcome.known : undefined;
  accessLog.record({
    kind: 'signIn',
    ...(registryUid === undefined ? {} : { registryUid }),
    identity: login?.principal.uid ?? 'unknown',
    ...(login === undefined ? {} : { principalKind: login.principal.kind }),
    address: from.address,
    correlationId: from.correlationId,
    status: statuses[outcome.kind],
    ...(from.userAgent === undefined ? {} : { userAgent: from.userAgent }),
  });
}
