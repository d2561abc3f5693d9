import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import { newSecret } from './new-secret.ts';
import { createFindStanding, type FindStanding } from './principal-store.ts';
import { keepSignIn, resumeSignIn, signedInSchema } from './sign-in-sessions.ts';
import { insertState, stateKey, takeState } from './sign-in-state-store.ts';
import type { SignedIn } from './tenant-tokens.ts';

const lifetimeMicros = 300 * 1_000_000;

const codeSchema = z.object({
  by: signedInSchema,
  redirectUri: z.string(),
  scope: z.string(),
  /** Base64url SHA-256 of what the client shows with the code; absent only for clients that have a secret. */
  challenge: z.string().exactOptional(),
  nonce: z.string().exactOptional(),
});

export type CodeRequest = {
  readonly redirectUri: string;
  readonly scope: string;
  readonly challenge: string | undefined;
  readonly nonce: string | undefined;
};

export type RedeemRequest = {
  readonly code: string;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly verifier: string | undefined;
};

/** Codes that a browser carries from the sign-in page to a client, each good once. Source: RFC 6749 section 4.1, RFC 7636. */
export class AuthorizationCodes {
  readonly #parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids };
  readonly #findStanding: FindStanding;

  constructor(parts: { readonly database: Database; readonly clock: Clock; readonly ids: Ids }) {
    this.#parts = parts;
    this.#findStanding = createFindStanding(parts.database.read);
  }

  async issue(by: SignedIn, { redirectUri, scope, challenge, nonce }: CodeRequest): Promise<string> {
    const { database, clock, ids } = this.#parts;
    const code = newSecret(ids);
    const nowMicros = clock.nowMicros();
    const payload: z.infer<typeof codeSchema> = {
      by: keepSignIn(by),
      redirectUri,
      scope,
      ...(challenge === undefined ? {} : { challenge }),
      ...(nonce === undefined ? {} : { nonce }),
    };
    const state = { payload: JSON.stringify(payload), expiresAtMicros: nowMicros + lifetimeMicros };
    await database.transaction((tx) => insertState(tx, stateKey('code', code), state, nowMicros));
    return code;
  }

  /** Undefined unless client, redirect URI and verifier are those of the code; a wrong try uses the code up. */
  async redeem(
    asked: RedeemRequest,
  ): Promise<{ readonly who: SignedIn; readonly scope: string; readonly nonce: string | undefined } | undefined> {
    const { database, clock } = this.#parts;
    const key = stateKey('code', asked.code);
    const payload = await database.transaction((tx) => takeState(tx, key, clock.nowMicros()));
    if (payload === undefined) return undefined;
    const { by, redirectUri, scope, challenge, nonce } = codeSchema.parse(JSON.parse(payload));
    const shown = asked.verifier === undefined ? undefined : s256(asked.verifier);
    if (by.clientId !== asked.clientId || redirectUri !== asked.redirectUri || challenge !== shown) return undefined;
    const who = await resumeSignIn({ findStanding: this.#findStanding, clock }, by);
    return who && { who, scope, nonce };
  }
}

function s256(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url');
}
