import * as oidc from 'openid-client';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Ids } from '../../platform/ids.ts';
import { type OutsideIdentity, outsideIdentityOf } from './outside-identity.ts';
import { createProviderFetch, ProviderDown, type ProviderOutbound } from './provider-fetch.ts';

/** How often the provider's discovery document is read anew. */
const keepMs = 60 * 60_000;
const timeoutSeconds = 15;
const secretBytes = 32;

/** The provider that the operator chose. */
export type OutsideProviderOptions = {
  /** URL, as its discovery document has it. */
  readonly issuer: string;
  readonly clientId: string;
  /** Undefined for a public client. */
  readonly clientSecret: string | undefined;
  /** Parted by spaces; `openid` among them. */
  readonly scopes: string;
  /** What people call it: `Sign in with <name>`. */
  readonly name: string;
  readonly userClaim: string;
  readonly groupsClaim: string;
};

/** What one sign-in has to be checked against when the browser comes back. */
export type OutsideChecks = { readonly state: string; readonly nonce: string; readonly verifier: string };

export type OutsideProviderParts = {
  readonly outbound: ProviderOutbound;
  readonly clock: Clock;
  readonly ids: Ids;
};

/**
 * An outside OpenID provider: authorization code with PKCE, state and nonce; issuer, audience, times and signature of the
 * ID token are checked by openid-client, times by the system's clock. Source: OpenID Connect Core, sections 3.1 and 15.5.2.
 */
export class OutsideProvider {
  readonly #parts: OutsideProviderParts;
  readonly #options: OutsideProviderOptions;
  #kept: { readonly configuration: Promise<oidc.Configuration>; readonly atMs: number } | undefined;

  constructor(parts: OutsideProviderParts, options: OutsideProviderOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Where the browser goes. Throws `outsideUnreachable`. */
  async begin(redirectUri: string): Promise<{ readonly url: string; readonly checks: OutsideChecks }> {
    const configuration = await this.#configuration();
    const checks = { state: this.#random(), nonce: this.#random(), verifier: this.#random() };
    const url = oidc.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: this.#options.scopes,
      state: checks.state,
      nonce: checks.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(checks.verifier),
      code_challenge_method: 'S256',
    });
    return { url: url.href, checks };
  }

  /** Who came back, by the address the provider sent the browser to. Throws `outsideUnreachable` and `outsideRefused`. */
  async finish(returned: URL, { state, nonce, verifier }: OutsideChecks): Promise<OutsideIdentity> {
    const configuration = await this.#configuration();
    try {
      const tokens = await oidc.authorizationCodeGrant(configuration, returned, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      return outsideIdentityOf(tokens.claims() ?? {}, this.#options);
    } catch (cause) {
      throw cause instanceof BerthError ? cause : failureOf(cause);
    }
  }

  #configuration(): Promise<oidc.Configuration> {
    const atMs = this.#parts.clock.monotonicMs();
    if (this.#kept !== undefined && atMs - this.#kept.atMs < keepMs) return this.#kept.configuration;
    const kept = { configuration: this.#discover(), atMs };
    this.#kept = kept;
    // A failure is not kept: the next person may find the provider well again.
    kept.configuration.catch(() => {
      if (this.#kept === kept) this.#kept = undefined;
    });
    return kept.configuration;
  }

  async #discover(): Promise<oidc.Configuration> {
    const { issuer, clientId, clientSecret } = this.#options;
    const url = new URL(issuer);
    try {
      return await oidc.discovery(url, clientId, {}, authenticationOf(clientSecret), {
        [oidc.customFetch]: createProviderFetch(this.#parts.outbound),
        timeout: timeoutSeconds,
        execute: [
          oidc.enableNonRepudiationChecks,
          // The settings take plain http for names of this machine only.
          ...(url.protocol === 'http:' ? [oidc.allowInsecureRequests] : []),
        ],
      });
    } catch (cause) {
      throw new BerthError('outsideUnreachable', undefined, { cause });
    }
  }

  #random(): string {
    return Buffer.from(this.#parts.ids.bytes(secretBytes)).toString('base64url');
  }
}

/** Source: OpenID Connect Discovery, section 3: without a list of methods the provider takes `client_secret_basic`. */
function authenticationOf(secret: string | undefined): oidc.ClientAuth {
  if (secret === undefined) return oidc.None();
  const [basic, post] = [oidc.ClientSecretBasic(secret), oidc.ClientSecretPost(secret)];
  return (server, ...rest) => {
    const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    (methods.includes('client_secret_basic') ? basic : post)(server, ...rest);
  };
}

function failureOf(cause: unknown): BerthError {
  if (isDown(cause)) return new BerthError('outsideUnreachable', undefined, { cause });
  if (cause instanceof oidc.AuthorizationResponseError)
    return new BerthError('outsideRefused', `it answered ${cause.error.slice(0, 100)}`, { cause });
  return new BerthError('outsideRefused', 'its answer is not valid', { cause });
}

function isDown(error: unknown): boolean {
  if (error instanceof ProviderDown) return true;
  return error instanceof Error && error.cause !== undefined && isDown(error.cause);
}
