import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { freePort } from './free-port.ts';

type Person = { readonly sub: string; readonly preferred_username: string; readonly groups: readonly string[] };
type Asked = { readonly nonce: string; readonly challenge: string; readonly redirectUri: string };

export type OutsideProviderServer = {
  /** `http://127.0.0.1:20123`. */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly close: () => void;
};

/**
 * An OpenID provider at which this person has signed in already: it sends browsers back at once. Codes count once and are
 * bound to redirect URI and PKCE challenge, as OpenID Connect Core and RFC 7636 say.
 */
export async function startOutsideProvider(person: Person): Promise<OutsideProviderServer> {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const client = { clientId: 'berth', clientSecret: ids.uid() };
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const codes = new Map<string, Asked>();

  const authorize = (url: URL, response: ServerResponse) => {
    const of = (name: string) => url.searchParams.get(name) ?? '';
    const back = new URL(of('redirect_uri'));
    const code = ids.uid();
    codes.set(code, { nonce: of('nonce'), challenge: of('code_challenge'), redirectUri: back.href });
    back.search = new URLSearchParams({ code, state: of('state') }).toString();
    response.writeHead(302, { location: back.href }).end();
  };
  const token = async (request: IncomingMessage, response: ServerResponse) => {
    const form = await formOf(request);
    const code = form.get('code') ?? '';
    const asked = codes.get(code);
    codes.delete(code);
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    const basic = Buffer.from(`${client.clientId}:${client.clientSecret}`).toString('base64');
    const isRight = asked?.challenge === challenge && asked.redirectUri === form.get('redirect_uri');
    if (request.headers.authorization !== `Basic ${basic}` || !isRight)
      return json(response, { error: 'invalid_grant' }, 400);
    const idToken = await new SignJWT({ ...person, nonce: asked.nonce })
      .setProtectedHeader({ alg: 'RS256', kid: 'one' })
      .setIssuer(issuer)
      .setAudience(client.clientId)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);
    json(response, { access_token: ids.uid(), token_type: 'Bearer', expires_in: 60, id_token: idToken });
  };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', issuer);
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json(response, discovery(issuer));
      case '/keys':
        return json(response, { keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256' }] });
      case '/authorize':
        return authorize(url, response);
      case '/token':
        return await token(request, response);
      default:
        return json(response, {}, 404);
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { issuer, ...client, close: () => server.close() };
}

function discovery(issuer: string) {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/keys`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
}

function json(response: ServerResponse, value: object, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function formOf(request: IncomingMessage): Promise<URLSearchParams> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return new URLSearchParams(Buffer.concat(chunks).toString());
}
