import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { newSecret } from './new-secret.ts';
import { createFindStanding, type FindStanding } from './principal-store.ts';
import { findState, insertState, stateKey, updateState } from './sign-in-state-store.ts';
import type { SignedIn } from './tenant-tokens.ts';

const dayMicros = 24 * 60 * 60 * 1_000_000;
/** A session that nobody uses ends after this. Source: lifetime of Microsoft Entra's refresh tokens. */
const idleMicros = 90 * dayMicros;

/** Who signed in, as states under way keep it. */
export const signedInSchema = z.object({
  principalUid: z.string(),
  credentialUid: z.string(),
  clientId: z.string(),
  /** How the client showed who it is; absent when it did not. */
  proof: z.enum(['secret', 'key']).exactOptional(),
});
export type KeptSignIn = z.infer<typeof signedInSchema>;

export function keepSignIn({ principal, credentialUid, clientId, proof }: SignedIn): KeptSignIn {
  return { principalUid: principal.uid, credentialUid, clientId, ...(proof === 'none' ? {} : { proof }) };
}

/** Undefined when principal or credential are gone or disabled since, or the credential has expired. */
export async function resumeSignIn(
  { findStanding, clock }: { readonly findStanding: FindStanding; readonly clock: Clock },
  kept: KeptSignIn,
): Promise<SignedIn | undefined> {
  const standing = await findStanding(kept.principalUid, kept.credentialUid);
  if (standing === undefined || (standing.expiresAtMicros ?? Number.POSITIVE_INFINITY) <= clock.nowMicros())
    return undefined;
  const { principal, loginName, credentialUid } = standing;
  return { principal, loginName, credentialUid, clientId: kept.clientId, proof: kept.proof ?? 'none' };
}

/**
 * Sign-ins of people that outlive their access tokens. A refresh token is 256 random bits, kept as a hash, and stays good
 * while it is used: several processes of one client share it. It ends with the credential it was bought with.
 * One that a client bought with a proof is for callers to refuse without one: `proof` of who resumes it.
 */
export class SignInSessions {
  readonly #parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids };
  readonly #findStanding: FindStanding;

  constructor(parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids }) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
  }

  /** Answers the refresh token. */
  async open(who: SignedIn): Promise<string> {
    const { database, clock, ids } = this.#parts;
    const token = newSecret(ids);
    const nowMicros = clock.nowMicros();
    const state = { payload: JSON.stringify(keepSignIn(who)), expiresAtMicros: nowMicros + idleMicros };
    await database.transaction((tx) => insertState(tx, stateKey('session', token), state, nowMicros));
    return token;
  }

  /** Undefined for a token that is wrong, was given to another client, or stands for nobody any more. */
  async resume(token: string, clientId: string): Promise<SignedIn | undefined> {
    const { database, clock } = this.#parts;
    const key = stateKey('session', token);
    const nowMicros = clock.nowMicros();
    const state = await findState(database.read, key, nowMicros);
    const kept = state && signedInSchema.parse(JSON.parse(state.payload));
    if (state === undefined || kept?.clientId !== clientId) return undefined;
    const who = await resumeSignIn({ findStanding: this.#findStanding, clock }, kept);
    if (who === undefined) return undefined;
    // Written once a day at most: a session is used every hour.
    if (state.expiresAtMicros < nowMicros + idleMicros - dayMicros)
      await database.transaction((tx) => updateState(tx, key, { ...state, expiresAtMicros: nowMicros + idleMicros }));
    return who;
  }
}
