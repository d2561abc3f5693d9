import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BerthError } from '../../core/errors.ts';
import { type AccessScope, parseScopes } from '../../core/scope.ts';
import type { ExchangeToken } from '../../features/access/token-exchange.ts';
import type { BeforeIssue } from '../../features/access/token-holder.ts';
import type { IssueTokens, TokenCredentials } from '../../features/access/token-service.ts';
import { type TokenAnswer, type TokenForm, tokenForm, tokenQuery } from '../../wire/token/token-messages.ts';
import type { Call, Env } from '../middleware/env.ts';
import type { ThrottleRequest } from '../middleware/throttle.ts';
import { countTokenRequest } from './count-token-request.ts';
import { answerExchange } from './exchange-route.ts';
import { checkService, circumstancesOf, formOf, maxFormBytes, parseParameters, refuseBody } from './token-form.ts';

const maxScopes = 100;
/** Characters; a repository name has at most 255. */
const maxScopeLength = 512;

export type TokenRoutesParts = {
  readonly issueTokens: IssueTokens;
  readonly exchangeToken: ExchangeToken;
  /** Nobody is held back when absent. */
  readonly throttle?: ThrottleRequest;
};

/**
 * The token endpoint of a registry. Source: Docker registry token authentication and OAuth2 specifications; ACR semantics,
 * "Token flow". A refresh token is answered only to a POST that asks for offline access: `docker login` would keep it in
 * place of the password, and be signed out when it ends.
 */
export function tokenRoutes({ issueTokens, exchangeToken, throttle }: TokenRoutesParts): Hono<Env> {
  const routes = new Hono<Env>();
  const limited = bodyLimit({ maxSize: maxFormBytes, onError: refuseBody });
  const counted = (answerIn: (c: Context<Env>, beforeIssue: BeforeIssue) => Promise<Response>) => {
    return async (c: Context<Env>) =>
      await countTokenRequest(throttle, c, async (beforeIssue) => await answerIn(c, beforeIssue));
  };
  const ofHeader = counted(async (c, beforeIssue) => {
    const query = parseParameters(tokenQuery, new URL(c.req.url).searchParams);
    const credentials = { kind: 'header', authorization: c.req.header('authorization') } as const;
    const asked = { ...query, credentials, wantsRefreshToken: false, beforeIssue };
    c.header('Cache-Control', 'no-store');
    return c.json(await answer(issueTokens, c.var.call, asked));
  });
  const ofForm = counted(async (c, beforeIssue) => {
    const form = await formOf(c, tokenForm);
    const wantsRefreshToken = form.access_type === 'offline';
    const asked = { ...form, credentials: credentialsOf(form), wantsRefreshToken, beforeIssue };
    c.header('Cache-Control', 'no-store');
    return c.json(await answer(issueTokens, c.var.call, asked));
  });
  const ofTenant = counted(async (c, beforeIssue) => await answerExchange(exchangeToken, c, beforeIssue));
  routes.get('/oauth2/token', ofHeader);
  routes.post('/oauth2/token', limited, ofForm);
  routes.post('/oauth2/exchange', limited, ofTenant);
  return routes;
}

type Asked = {
  readonly service?: string | undefined;
  readonly scope: readonly string[];
  readonly credentials: TokenCredentials;
  readonly wantsRefreshToken: boolean;
  readonly beforeIssue: BeforeIssue;
};

async function answer(issueTokens: IssueTokens, call: Call, asked: Asked): Promise<TokenAnswer> {
  checkService(asked.service, call);
  const issued = await issueTokens({
    registry: call.registry,
    credentials: asked.credentials,
    asked: scopesOf(asked.scope),
    wantsRefreshToken: asked.wantsRefreshToken,
    circumstances: circumstancesOf(call),
    beforeIssue: asked.beforeIssue,
  });
  return {
    access_token: issued.accessToken,
    expires_in: issued.expiresInSeconds,
    ...(issued.refreshToken === undefined ? {} : { refresh_token: issued.refreshToken }),
  };
}

function scopesOf(texts: readonly string[]): AccessScope[] {
  const parts = texts.flatMap((text) => text.split(' ')).filter((part) => part !== '');
  if (parts.length > maxScopes) throw new BerthError('requestInvalid', { scope: `more than ${maxScopes} scopes` });
  if (parts.some((part) => part.length > maxScopeLength))
    throw new BerthError('requestInvalid', { scope: `longer than ${maxScopeLength} characters` });
  return parts.flatMap(parseScopes);
}

/** Empty name and password are how the Azure SDKs ask as a stranger. */
function credentialsOf(form: TokenForm): TokenCredentials {
  if (form.grant_type === 'refresh_token') return { kind: 'refreshToken', token: form.refresh_token };
  if (form.username === '' && form.password === '') return { kind: 'header', authorization: undefined };
  return { kind: 'password', userName: form.username, password: form.password };
}
