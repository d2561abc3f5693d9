import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, errors, type JSONWebKeySet, jwtVerify } from 'jose';

export type KeyVaultOptions = {
  /** By which it is asked, and for which it wants tokens. */
  readonly host: string;
  readonly tls: { readonly cert: string; readonly key: string };
  /** Values by name. */
  readonly secrets: Readonly<Record<string, string>>;
};

/** Whose tokens are believed: as the installation publishes its keys. */
type Trust = { readonly issuer: string; readonly keys: JSONWebKeySet };

/**
 * A small key vault: it asks for a token, checks who signed it and for whom, and gives values to those identities that may read
 * them. Source: Key Vault REST, "Authentication, requests and responses", "Get Secret".
 */
export class KeyVault {
  readonly port: number;
  /** Object ids of those who may read. */
  readonly readers = new Set<string>();
  trust: Trust | undefined;
  readonly #stop: () => Promise<void>;

  private constructor(port: number, stop: () => Promise<void>) {
    this.port = port;
    this.#stop = stop;
  }

  static async start({ host, tls, secrets }: KeyVaultOptions): Promise<KeyVault> {
    let vault: KeyVault | undefined;
    const audience = `https://${host}`;
    const server = createServer(tls, async (request, response) => {
      const say = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) =>
        response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
      const fault = (status: number, code: string) => say(status, { error: { code, message: `${code}.` } });
      const { pathname, searchParams } = new URL(request.url ?? '/', audience);
      const [, name = ''] = /^\/secrets\/([\w-]+)$/.exec(pathname) ?? [];
      const reader = await vault?.readerOf(request.headers.authorization, audience);
      if (searchParams.get('api-version') !== '7.4') fault(400, 'BadParameter');
      else if (reader === undefined) {
        const challenge = `Bearer authorization="${vault?.trust?.issuer ?? ''}", resource="${audience}"`;
        say(401, { error: { code: 'Unauthorized', message: 'Sign in.' } }, { 'www-authenticate': challenge });
      } else if (vault?.readers.has(reader) !== true) fault(403, 'Forbidden');
      else if (secrets[name] === undefined) fault(404, 'SecretNotFound');
      else say(200, { value: secrets[name], id: `${audience}/secrets/${name}` });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const stop = () => new Promise<void>((resolve) => server.close(() => resolve()).closeAllConnections());
    vault = new KeyVault(portOf(server.address()), stop);
    return vault;
  }

  /** The object id in a token that is valid here; undefined for any other text. */
  async readerOf(authorization: string | undefined, audience: string): Promise<string | undefined> {
    const [, token] = /^Bearer (\S+)$/.exec(authorization ?? '') ?? [];
    if (token === undefined || this.trust === undefined) return undefined;
    const { issuer, keys } = this.trust;
    try {
      const { payload } = await jwtVerify(token, createLocalJWKSet(keys), { issuer, audience, algorithms: ['ES256'] });
      return typeof payload.oid === 'string' ? payload.oid : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#stop();
  }
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('the vault does not listen on TCP');
  return address.port;
}
