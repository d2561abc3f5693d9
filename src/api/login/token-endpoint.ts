import type { Context } from 'hono';
import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import type { AskedScopes } from '../../features/identity/tenant-resource.ts';
import { signInWithPassword, signInWithSecret } from '../../features/identity/tenant-sign-in.ts';
import type { SignedIn } from '../../features/identity/tenant-tokens.ts';
import { type LoginTokenAnswer, type LoginTokenForm, loginTokenForm } from '../../wire/login/login-messages.ts';
import type { Env } from '../middleware/env.ts';
import { whatFor, whatForResource } from './asked-resource.ts';
import { type Authority, type AuthorityStyle, authorityOf, tenantOf, tenantPattern } from './authority.ts';
import { formLimit, formOf, fromOf, parseParameters } from './login-form.ts';
import type { LoginParts } from './login-parts.ts';

/** The token endpoint of the tenant, in each style. Source: RFC 6749; wire contract, 1.6. */
export function tokenEndpoint(parts: LoginParts): Hono<Env> {
  const { tenantId } = parts.tenantTokens;
  const routes = new Hono<Env>();
  const serve = (path: string, style: AuthorityStyle) =>
    routes.post(path, formLimit, async (c) => {
      const tenant = style === 'adfs' ? tenantId : tenantOf(c, tenantId);
      const authority = authorityOf(c.var.call.origin, style, tenant, tenantId);
      return c.json(await answer(parts, c, authority), 200, { 'Cache-Control': 'no-store', Pragma: 'no-cache' });
    });
  serve('/adfs/oauth2/token', 'adfs');
  serve(`/${tenantPattern}/oauth2/v2.0/token`, 'v2');
  serve(`/${tenantPattern}/oauth2/token`, 'v1');
  return routes;
}

async function answer(parts: LoginParts, c: Context<Env>, authority: Authority): Promise<LoginTokenAnswer> {
  const form = readForm(await formOf(c));
  // Before anything is used up, where the form says it.
  const asked = askedBy(parts, c, form);
  const granted = await grant(parts, c, authority, form);
  const scope = form.scope === '' ? (granted.scope ?? '') : form.scope;
  const { resource, wantsIdToken } = asked ?? whatFor(c, parts.domain, scope);
  const access = await parts.tenantTokens.issueAccess(granted.who, resource);
  recordIssue(parts, c, granted.who);
  const isV1 = form.resource !== undefined;
  const seconds = isV1 ? String(access.expiresInSeconds) : access.expiresInSeconds;
  const isPerson = granted.who.principal.kind === 'user';
  return {
    token_type: 'Bearer',
    scope,
    expires_in: seconds,
    ext_expires_in: seconds,
    ...(form.resource === undefined
      ? {}
      : {
          expires_on: String(access.expiresAt),
          not_before: String(access.expiresAt - access.expiresInSeconds),
          resource: form.resource,
        }),
    access_token: access.token,
    ...(isPerson ? await forPerson(parts, authority, { ...form, scope }, granted, wantsIdToken) : {}),
  };
}

/** Undefined where the client said it when it asked for its code. Throws `audienceUnknown`, `loginRequestInvalid`. */
function askedBy({ domain }: LoginParts, c: Context<Env>, form: LoginTokenForm): AskedScopes | undefined {
  if (form.resource !== undefined) return whatForResource(c, domain, form.resource);
  const hasCode = 'code' in form || 'device_code' in form;
  return hasCode && form.scope === '' ? undefined : whatFor(c, domain, form.scope);
}

type Granted = {
  readonly who: SignedIn;
  /** What was asked for with the code. */
  readonly scope: string | undefined;
  readonly nonce: string | undefined;
  /** The one that was shown, which stays good. */
  readonly refreshToken: string | undefined;
};

const nothingElse = { scope: undefined, nonce: undefined, refreshToken: undefined };

/** Id token, refresh token and the hint about the account, which only the sign-in of a person has. */
async function forPerson(
  { tenantTokens, sessions }: LoginParts,
  authority: Authority,
  form: LoginTokenForm,
  { who, nonce, refreshToken }: Granted,
  wantsIdToken: boolean,
): Promise<Partial<LoginTokenAnswer>> {
  const isV1 = form.resource !== undefined;
  const wantsRefreshToken = isV1 || /(^|\s)offline_access(\s|$)/i.test(form.scope);
  const info = { uid: objectIdOf(who.principal.uid), utid: tenantTokens.tenantId };
  return {
    ...(wantsRefreshToken || refreshToken !== undefined
      ? { refresh_token: refreshToken ?? (await sessions.open(who)) }
      : {}),
    ...(wantsIdToken || isV1 ? { id_token: await tenantTokens.issueId(who, authority.issuer, nonce) } : {}),
    ...(form.client_info === '1' ? { client_info: Buffer.from(JSON.stringify(info)).toString('base64url') } : {}),
  };
}

/** Throws `grantTypeUnknown` and `loginRequestInvalid`. */
function readForm(parameters: URLSearchParams): LoginTokenForm {
  const type = parameters.get('grant_type');
  const known = loginTokenForm.options.some((option) => option.shape.grant_type.value === type);
  if (type !== null && !known) throw new BerthError('grantTypeUnknown');
  return parseParameters(loginTokenForm, parameters);
}

async function grant(parts: LoginParts, c: Context<Env>, authority: Authority, form: LoginTokenForm): Promise<Granted> {
  const client = clientOf(c, form);
  const from = fromOf(c);
  const byPerson = (who: SignedIn) => ({ who, ...nothingElse });
  switch (form.grant_type) {
    case 'client_credentials':
      return byPerson(await signInClient(parts, c, authority, client));
    case 'password': {
      const { clientId } = await parts.findClient(client.id);
      const { username: userName, password } = form;
      return byPerson(await signInWithPassword(parts.signIn, { clientId, userName, password, from }));
    }
    case 'refresh_token': {
      const proof = await proofOf(parts, c, authority, client);
      const who = await parts.sessions.resume(form.refresh_token, client.id.toLowerCase());
      if (who === undefined) throw new BerthError('grantExpired');
      // Source: RFC 6749, section 6.
      if (who.proof !== 'none' && proof === 'none') throw noProof();
      return { who, ...nothingElse, refreshToken: form.refresh_token };
    }
    case 'authorization_code':
      return await redeemCode(parts, c, authority, client, form);
    case 'device_code':
      return { ...nothingElse, ...(await parts.deviceCodes.poll(form.code, client.id.toLowerCase())) };
    default:
      return { ...nothingElse, ...(await parts.deviceCodes.poll(form.device_code, client.id.toLowerCase())) };
  }
}

type ClientCredentials = {
  readonly id: string;
  readonly secret: string | undefined;
  readonly assertion: string | undefined;
};

/** Of the form, or of a Basic header. Source: RFC 6749, section 2.3.1. Throws `loginRequestInvalid`. */
function clientOf(c: Context<Env>, form: LoginTokenForm): ClientCredentials {
  const [, encoded] = /^basic +([A-Za-z0-9+/=]+)$/i.exec(c.req.header('authorization') ?? '') ?? [];
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString();
  const [id, secret] = /^([^:]*):(.*)$/s.exec(text)?.slice(1).map(decode) ?? [];
  if (`${id}${secret}`.includes('\0')) throw new BerthError('loginRequestInvalid', 'Authorization');
  const client = { id: form.client_id ?? id, secret: form.client_secret ?? secret, assertion: form.client_assertion };
  if (client.id === undefined) throw new BerthError('loginRequestInvalid', 'client_id');
  return { ...client, id: client.id };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    // Not encoded as the specification wants it: many clients send it as it is.
    return text;
  }
}

/** Of a client that shows one. Throws `clientSecretWrong`, `assertionInvalid`. */
async function proofOf(
  parts: LoginParts,
  c: Context<Env>,
  authority: Authority,
  client: ClientCredentials,
): Promise<SignedIn['proof']> {
  if (client.secret === undefined && client.assertion === undefined) return 'none';
  return (await signInClient(parts, c, authority, client)).proof;
}

function noProof(): BerthError {
  return new BerthError('loginRequestInvalid', 'client_secret or client_assertion');
}

/** Throws `clientSecretWrong`, `assertionInvalid` and `loginRequestInvalid`. */
async function signInClient(
  parts: LoginParts,
  c: Context<Env>,
  authority: Authority,
  { id: clientId, secret, assertion }: ClientCredentials,
): Promise<SignedIn> {
  const from = fromOf(c);
  if (assertion !== undefined) {
    const audiences = [authority.token, authority.issuer, ...otherNames(c, parts.tenantTokens.tenantId)];
    return await parts.clientAssertions.signIn({ clientId, assertion, audiences, from });
  }
  if (secret === undefined) throw noProof();
  return await signInWithSecret(parts.signIn, { clientId, secret, from });
}

/** Clients name the audience of their assertions by any of our token endpoints. */
function otherNames(c: Context<Env>, tenantId: string): string[] {
  const { origin } = c.var.call;
  return (['adfs', 'v2', 'v1'] as const).map((style) => authorityOf(origin, style, tenantId, tenantId).token);
}

/** A code without a challenge is for a client with a secret. Throws `grantExpired`. */
async function redeemCode(
  parts: LoginParts,
  c: Context<Env>,
  authority: Authority,
  client: ClientCredentials,
  form: Extract<LoginTokenForm, { readonly grant_type: 'authorization_code' }>,
): Promise<Granted> {
  const proof = await proofOf(parts, c, authority, client);
  if (proof === 'none' && form.code_verifier === undefined)
    throw new BerthError('loginRequestInvalid', 'code_verifier');
  const redeemed = await parts.authorizationCodes.redeem({
    code: form.code,
    clientId: client.id.toLowerCase(),
    redirectUri: form.redirect_uri,
    verifier: form.code_verifier,
  });
  if (redeemed === undefined) throw new BerthError('grantExpired');
  return { ...redeemed, who: { ...redeemed.who, proof }, refreshToken: undefined };
}

function recordIssue({ accessLog }: LoginParts, c: Context<Env>, { principal }: SignedIn): void {
  const { address, correlationId, userAgent } = fromOf(c);
  const line = { kind: 'tokenIssue', identity: principal.uid, address, correlationId, status: 200 } as const;
  accessLog.record({ ...line, ...(userAgent === undefined ? {} : { userAgent }) });
}
