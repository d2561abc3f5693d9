import type { Context } from 'hono';
import { Hono } from 'hono';
import { html } from 'hono/html';
import { BerthError } from '../../core/errors.ts';
import { type Client, isRedirectOf } from '../../features/identity/clients.ts';
import { type AuthorizeQuery, authorizeQuery } from '../../wire/login/login-messages.ts';
import type { Env } from '../middleware/env.ts';
import { tenantOf, tenantPattern } from './authority.ts';
import { formLimit, formOf, parseParameters } from './login-form.ts';
import type { LoginParts } from './login-parts.ts';
import {
  forgetOutsidePerson,
  otherAccountButton,
  outsideLink,
  outsidePersonOf,
  personFields,
} from './outside-pages.ts';
import { checkCsrf, csrfField, pageAnswer } from './page.ts';
import { pageSignIn } from './page-sign-in.ts';

type Asked = { readonly query: AuthorizeQuery; readonly client: Client };

/**
 * The sign-in page: a client sends a browser here and gets a code back. Source: RFC 6749, section 4.1; RFC 7636.
 * Until client and redirect URI are known to be right, nothing is ever redirected.
 */
export function authorizePage(parts: LoginParts): Hono<Env> {
  const routes = new Hono<Env>();
  for (const path of [
    '/adfs/oauth2/authorize',
    `/${tenantPattern}/oauth2/v2.0/authorize`,
    `/${tenantPattern}/oauth2/authorize`,
  ]) {
    routes.get(path, async (c) => {
      const asked = await readQuery(parts, c);
      if (asked.query.prompt === 'none')
        return redirect(c, asked.query, { error: 'login_required', error_description: 'AADSTS50058: sign in first' });
      return await show(parts, c, asked, { userName: asked.query.login_hint ?? '', wrong: undefined });
    });
    routes.post(path, formLimit, async (c) => await decide(parts, c));
  }
  return routes;
}

/** Throws `tenantUnknown`, `clientUnknown`, `redirectInvalid`, `loginRequestInvalid`. */
async function readQuery({ tenantTokens, findClient }: LoginParts, c: Context<Env>): Promise<Asked> {
  if (c.req.param('tenant') !== undefined) tenantOf(c, tenantTokens.tenantId);
  const query = parseParameters(authorizeQuery, new URL(c.req.url).searchParams);
  const client = await findClient(query.client_id);
  if (!isRedirectOf(client, query.redirect_uri)) throw new BerthError('redirectInvalid', query.redirect_uri);
  if (
    query.code_challenge === undefined
      ? query.code_challenge_method !== undefined
      : query.code_challenge_method !== 'S256'
  )
    throw new BerthError('loginRequestInvalid', 'code_challenge_method');
  return { query, client };
}

async function decide(parts: LoginParts, c: Context<Env>): Promise<Response> {
  const asked = await readQuery(parts, c);
  const form = await formOf(c);
  checkCsrf(c, form);
  const { query, client } = asked;
  if (form.get('decision') === 'cancel')
    return redirect(c, query, { error: 'access_denied', error_description: 'AADSTS65004: the user declined' });
  if (form.get('decision') === 'other') {
    await forgetOutsidePerson(parts, c);
    const { pathname, search } = new URL(c.req.url);
    return c.redirect(`${pathname}${search}`, 303);
  }
  const userName = (form.get('username') ?? '').slice(0, 320);
  const signedIn = await pageSignIn(parts, c, form, client.clientId);
  if ('wrong' in signedIn) return await show(parts, c, asked, { userName, ...signedIn });
  const code = await parts.authorizationCodes.issue(signedIn.who, {
    redirectUri: query.redirect_uri,
    scope: query.scope,
    challenge: query.code_challenge,
    nonce: query.nonce,
  });
  return redirect(c, query, { code });
}

function redirect(c: Context<Env>, query: AuthorizeQuery, answer: Readonly<Record<string, string>>): Response {
  const url = new URL(query.redirect_uri);
  const parameters = new URLSearchParams({ ...answer, ...(query.state === undefined ? {} : { state: query.state }) });
  if (query.response_mode === 'fragment') url.hash = parameters.toString();
  else for (const [name, value] of parameters) url.searchParams.set(name, value);
  c.header('Cache-Control', 'no-store');
  c.header('Referrer-Policy', 'no-referrer');
  // 303: what was typed is not sent on.
  return c.redirect(url.href, 303);
}

type Filled = { readonly userName: string; readonly wrong: string | undefined; readonly status?: 400 | 429 };

async function show(parts: LoginParts, c: Context<Env>, { query, client }: Asked, filled: Filled): Promise<Response> {
  const { search, pathname } = new URL(c.req.url);
  const { wrong, userName, status } = filled;
  const place = new URL(query.redirect_uri);
  const person = await outsidePersonOf(parts, c, client.clientId);
  const body = html`${wrong === undefined ? '' : html`<p class="wrong" role="alert">${wrong}</p>`}
<p>${client.name} at ${place.host} asks you to sign in.</p>
<form method="post" action="${pathname}${search}">${csrfField(c, parts.ids)}
${personFields(person, userName)}
<button name="decision" value="signIn">Sign in</button><button class="plain" name="decision" value="cancel" formnovalidate>Cancel</button>${otherAccountButton(person)}
</form>${outsideLink(parts.outsideSignIn, person, `${pathname}${search}`)}`;
  // Browsers hold the redirect after a form to its policy as well.
  return await pageAnswer(c, {
    title: 'Sign in',
    body,
    formTo: [place.origin === 'null' ? place.protocol : place.origin],
    ...(status === undefined ? {} : { status }),
  });
}
