import { X509Certificate } from 'node:crypto';
import { decodeJwt, decodeProtectedHeader, errors, type JWTPayload, type JWTVerifyOptions, jwtVerify } from 'jose';
import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { OutsideIssuers } from './outside-issuers.ts';
import { findKeys, type Login } from './principal-store.ts';
import type { SignInFrom } from './sign-in.ts';
import { findState, insertState, stateKey } from './sign-in-state-store.ts';
import { clockSkewSeconds } from './signing-keys.ts';
import { signedIn } from './tenant-sign-in.ts';
import type { SignedIn } from './tenant-tokens.ts';

const maxLength = 16_384;
/** A client's own assertion lives ten minutes in every SDK; ours must be remembered as long as it lives. */
const maxLifeSeconds = 24 * 60 * 60;
/** Source: Microsoft identity platform, "Certificate credentials". */
const certificateAlgorithms = ['RS256', 'PS256', 'ES256'];
const outsideAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

/** The verifier of a certificate: base64 of its DER form. */
export const certificateVerifierSchema = z.object({ certificate: z.string() });
/** The verifier of trust in an outside issuer. All three are compared as they are. */
export const federatedVerifierSchema = z.object({
  issuer: z.string(),
  subject: z.string(),
  audiences: z.array(z.string()),
  description: z.string().exactOptional(),
});

export type AssertionSignIn = {
  readonly clientId: string;
  readonly assertion: string;
  /** What the assertion may be meant for: our token endpoints as clients name them. */
  readonly audiences: readonly string[];
  readonly from: SignInFrom;
};

export type ClientAssertionsParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly accessLog: AccessLog;
  readonly outsideIssuers: OutsideIssuers;
  readonly tenantUid: string;
};

/**
 * Service principals that sign in with something signed: a statement of their own under a registered certificate, or a token
 * of an outside issuer that a federated credential trusts. Source: RFC 7523; Microsoft Graph, federatedIdentityCredential.
 */
export class ClientAssertions {
  readonly #parts: ClientAssertionsParts;

  constructor(parts: ClientAssertionsParts) {
    this.#parts = parts;
  }

  /** Throws `assertionInvalid`. */
  async signIn(asked: AssertionSignIn): Promise<SignedIn> {
    const unchecked = asked.assertion.length > maxLength ? undefined : claimsOf(asked.assertion);
    const isOwn = unchecked?.sub?.toLowerCase() === asked.clientId.toLowerCase() && unchecked.iss === unchecked.sub;
    try {
      if (unchecked === undefined) throw new BerthError('assertionInvalid', 'it is not a JSON Web Token');
      const login = isOwn ? await this.#withCertificate(asked) : await this.#withOutsideToken(asked, unchecked);
      this.#record(asked, login.principal.uid, 200);
      return signedIn(login, asked.clientId, 'key');
    } catch (error) {
      this.#record(asked, 'unknown', 401);
      throw error;
    }
  }

  /** Which certificate is found out by trying: nothing in the header chooses it. */
  async #withCertificate({ clientId, assertion, audiences, from }: AssertionSignIn): Promise<Login> {
    for (const login of await this.#keysOf(clientId, 'certificate')) {
      const { certificate } = certificateVerifierSchema.parse(JSON.parse(login.verifier));
      const { publicKey } = new X509Certificate(Buffer.from(certificate, 'base64'));
      const result = await verify(() =>
        jwtVerify(assertion, publicKey, { ...this.#checks(certificateAlgorithms), audience: [...audiences] }),
      );
      if (result.kind === 'refused') continue;
      await this.#useOnce(result.claims, login, from);
      return login;
    }
    throw new BerthError('assertionInvalid', 'no certificate of the application fits it');
  }

  async #withOutsideToken({ clientId, assertion }: AssertionSignIn, unchecked: JWTPayload): Promise<Login> {
    let problem: string | undefined;
    for (const login of await this.#keysOf(clientId, 'federated')) {
      const { issuer, subject, audiences } = federatedVerifierSchema.parse(JSON.parse(login.verifier));
      if (unchecked.iss !== issuer || unchecked.sub !== subject) continue;
      const keys = await this.#parts.outsideIssuers.keysOf(issuer, decodeProtectedHeader(assertion).kid);
      const options = { ...this.#checks(outsideAlgorithms), issuer, subject, audience: audiences };
      const result = await verify(() => jwtVerify(assertion, keys, options));
      if (result.kind === 'right') return login;
      problem = result.problem;
    }
    const from = `issuer '${short(unchecked.iss)}' and subject '${short(unchecked.sub)}'`;
    throw new BerthError(
      'assertionInvalid',
      problem === undefined ? `no federated credential has ${from}` : `the token of ${from} is not valid: ${problem}`,
    );
  }

  async #keysOf(userName: string, name: 'certificate' | 'federated'): Promise<Login[]> {
    const { database, tenantUid, clock } = this.#parts;
    const now = clock.nowMicros();
    const logins = await findKeys(database.read, { tenantUid, userName }, name);
    return logins.filter(
      ({ startsAtMicros = 0, expiresAtMicros = now + 1 }) => startsAtMicros <= now && now < expiresAtMicros,
    );
  }

  #checks(algorithms: string[]): JWTVerifyOptions {
    return {
      algorithms,
      requiredClaims: ['exp'],
      clockTolerance: clockSkewSeconds,
      currentDate: new Date(this.#parts.clock.nowMicros() / 1000),
    };
  }

  /** MSAL shows one assertion for every token it asks for in ten minutes, so it belongs to the address that showed it first. */
  async #useOnce({ jti, exp = 0 }: JWTPayload, { principal }: Login, { address }: SignInFrom): Promise<void> {
    const { database, clock } = this.#parts;
    const nowMicros = clock.nowMicros();
    // MSAL counts parts of a second.
    const expiresAtMicros = Math.ceil((exp + clockSkewSeconds) * 1_000_000);
    if (typeof jti !== 'string') throw new BerthError('assertionInvalid', 'it has no jti');
    if (expiresAtMicros > nowMicros + maxLifeSeconds * 1_000_000)
      throw new BerthError('assertionInvalid', 'it lives longer than a day');
    const key = stateKey('assertion', `${principal.uid} ${jti}`);
    await database.transaction(async (tx) => {
      if (await insertState(tx, key, { payload: JSON.stringify(address), expiresAtMicros }, nowMicros)) return;
      const used = await findState(tx, key, nowMicros);
      if (used?.payload !== JSON.stringify(address))
        throw new BerthError('assertionInvalid', 'it was shown before from another address');
    });
  }

  #record({ from }: AssertionSignIn, identity: string, status: number): void {
    const { address, correlationId, userAgent } = from;
    const common = { kind: 'signIn', identity, address, correlationId, status } as const;
    this.#parts.accessLog.record({ ...common, ...(userAgent === undefined ? {} : { userAgent }) });
  }
}

type Verification =
  | { readonly kind: 'right'; readonly claims: JWTPayload }
  | { readonly kind: 'refused'; readonly problem: string };

async function verify(check: () => Promise<{ readonly payload: JWTPayload }>): Promise<Verification> {
  try {
    return { kind: 'right', claims: (await check()).payload };
  } catch (error) {
    // A key of another kind than the algorithm's is a TypeError.
    if (error instanceof errors.JOSEError || error instanceof TypeError)
      return { kind: 'refused', problem: error.message };
    throw error;
  }
}

function claimsOf(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    // Not a JSON Web Token: refused like a forged one.
    return undefined;
  }
}

/** What the caller sent, for the message that is all a person sees. */
function short(text: string | undefined): string {
  return (text ?? '').slice(0, 200);
}
