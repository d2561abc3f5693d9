import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

export type Claims = Readonly<Record<string, unknown>>;

type SigningPair = { readonly kid: string; readonly privateKey: CryptoKey; readonly publicJwk: JWK };

export type OidcIssuerOptions = {
  /** What its tokens and its discovery document say: the name that calls are led here by. */
  readonly issuer: string;
  /** HTTPS with this certificate; plain HTTP without. */
  readonly tls?: { readonly cert: string; readonly key: string };
};

/**
 * A small issuer of tokens, as GitHub Actions or the API server of a Kubernetes cluster is one: a discovery document, keys,
 * and tokens of any claims. Source: OpenID Connect Discovery, sections 3 and 4.
 */
export class OidcIssuer {
  readonly issuer: string;
  readonly port: number;
  /** Answers 503 while it is set. */
  isDown = false;
  /** Paths that were asked for. */
  readonly requests: string[] = [];
  readonly #stop: () => Promise<void>;
  #pair: SigningPair;
  #rotations = 1;

  private constructor(issuer: string, pair: SigningPair, port: number, stop: () => Promise<void>) {
    this.issuer = issuer;
    this.#pair = pair;
    this.port = port;
    this.#stop = stop;
  }

  static async start({ issuer, tls }: OidcIssuerOptions): Promise<OidcIssuer> {
    const pair = await newPair('key-1');
    let started: OidcIssuer | undefined;
    const answer = (request: IncomingMessage, response: ServerResponse) => started?.answer(request, response);
    const server = tls === undefined ? createServer(answer) : createTlsServer(tls, answer);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stop = () => new Promise<void>((resolve) => server.close(() => resolve()).closeAllConnections());
    started = new OidcIssuer(issuer, pair, portOf(server.address()), stop);
    return started;
  }

  /** Signs with a new key from now on, and knows no other. */
  async rotate(): Promise<void> {
    this.#rotations += 1;
    this.#pair = await newPair(`key-${this.#rotations}`);
  }

  /** RS256 under the present key; `now` in seconds. */
  async token(claims: Claims, now: number = Math.floor(Date.now() / 1000)): Promise<string> {
    return await new SignJWT({ iss: this.issuer, iat: now, nbf: now, exp: now + 600, ...claims })
      .setProtectedHeader({ alg: 'RS256', kid: this.#pair.kid, typ: 'JWT' })
      .sign(this.#pair.privateKey);
  }

  /** The key's public half, for those who mistake it for a secret. */
  get publicJwk(): JWK {
    return this.#pair.publicJwk;
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '/';
    this.requests.push(path);
    const pages: Readonly<Record<string, unknown>> = {
      '/.well-known/openid-configuration': { issuer: this.issuer, jwks_uri: `${this.issuer}/keys` },
      '/keys': { keys: [{ ...this.#pair.publicJwk, kid: this.#pair.kid, use: 'sig' }] },
    };
    const page = this.isDown ? undefined : pages[path];
    response.writeHead(this.isDown ? 503 : page === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(page ?? {}));
  }
}

async function newPair(kid: string): Promise<SigningPair> {
  const { privateKey, publicKey } = await generateKeyPair('RS256');
  return { kid, privateKey, publicJwk: await exportJWK(publicKey) };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('the issuer does not listen on TCP');
  return address.port;
}
