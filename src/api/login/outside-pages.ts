import type { Context } from 'hono';
import { Hono } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { html } from 'hono/html';
import { BerthError, errorCatalogue } from '../../core/errors.ts';
import { type OutsideSignIn, outsideSignInSeconds } from '../../features/identity/outside-sign-in.ts';
import type { SignedIn } from '../../features/identity/tenant-tokens.ts';
import type { Env } from '../middleware/env.ts';
import { fromOf } from './login-form.ts';
import type { LoginParts } from './login-parts.ts';
import { credentialFields, failurePage, type Html } from './page.ts';
import { describe } from './render-login-error.ts';

const beginPath = '/common/oauth2/outside';
/** Registered at the provider, behind the name that browsers reach the server by. */
export const outsideCallbackPath = '/common/oauth2/outside/callback';

/** With what else goes into the cookie it stays below the 4,096 characters that browsers keep. */
const maxReturnLength = 2_600;
/** The pages of ours that a sign-in comes back to. */
const returnPattern = /^\/(adfs|common|organizations|[0-9a-f-]{36})\/oauth2\/(v2\.0\/)?(authorize|deviceauth)(\?|$)/i;
const patterns = { way: /^[\w-]{50,4000}$/, ticket: /^[a-z0-9]{52}$/ };

/** The way to the outside provider and back. What fails is said on a page, as a person is looking at it. */
export function outsidePages(parts: LoginParts): Hono<Env> {
  const routes = new Hono<Env>();
  const { outsideSignIn } = parts;
  if (outsideSignIn === undefined) return routes;
  routes.get(beginPath, async (c) => {
    const returnTo = c.req.query('return') ?? '';
    if (returnTo.length > maxReturnLength || !returnPattern.test(returnTo))
      throw new BerthError('loginRequestInvalid', 'return');
    return await orPage(parts, c, async () => {
      const { origin, address } = c.var.call;
      const { url, binding } = await outsideSignIn.begin(`${origin}${outsideCallbackPath}`, returnTo, address);
      setSecret(c, 'way', binding);
      return redirect(c, url);
    });
  });
  routes.get(outsideCallbackPath, async (c) => {
    return await orPage(parts, c, async () => {
      const binding = secretOf(c, 'way') ?? '';
      deleteCookie(c, cookieName(c, 'way'), cookieOptions(c));
      const answer = new URL(c.req.url).searchParams;
      const { ticket, returnTo } = await outsideSignIn.finish(answer, binding, fromOf(c));
      setSecret(c, 'ticket', ticket);
      return redirect(c, returnTo);
    });
  });
  return routes;
}

/** Whom the provider has shown this browser to be, some minutes ago. */
export async function outsidePersonOf(
  { outsideSignIn }: Pick<LoginParts, 'outsideSignIn'>,
  c: Context<Env>,
  clientId: string,
): Promise<SignedIn | undefined> {
  const ticket = secretOf(c, 'ticket');
  return ticket === undefined ? undefined : await outsideSignIn?.resume(ticket, clientId);
}

/** After the button of `otherAccountButton`. */
export async function forgetOutsidePerson(
  { outsideSignIn }: Pick<LoginParts, 'outsideSignIn'>,
  c: Context<Env>,
): Promise<void> {
  const ticket = secretOf(c, 'ticket');
  deleteCookie(c, cookieName(c, 'ticket'), cookieOptions(c));
  if (ticket !== undefined) await outsideSignIn?.forget(ticket);
}

/** Who signs in: the person the provider has shown, or fields for user name and password. */
export function personFields(person: SignedIn | undefined, userName: string): Html {
  if (person === undefined) return credentialFields(userName);
  return html`<p>You are <strong>${person.principal.name}</strong> (${person.loginName}).</p>
<input type="hidden" name="person" value="${person.principal.uid}">`;
}

/** After the other buttons: the first one is what the return key presses. */
export function otherAccountButton(person: SignedIn | undefined): Html | '' {
  if (person === undefined) return '';
  return html`<button class="plain" name="decision" value="other" formnovalidate>Use another account</button>`;
}

/** The second way to sign in; nothing when there is none or it has been gone already. */
export function outsideLink(
  outsideSignIn: OutsideSignIn | undefined,
  person: SignedIn | undefined,
  here: string,
): Html | '' {
  if (outsideSignIn === undefined || person !== undefined || here.length > maxReturnLength) return '';
  const way = `${beginPath}?${new URLSearchParams({ return: here }).toString()}`;
  return html`<hr><a class="way" href="${way}">Sign in with ${outsideSignIn.name}</a>`;
}

async function orPage(parts: LoginParts, c: Context<Env>, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work();
  } catch (error) {
    const status = error instanceof BerthError ? statusOf(error) : undefined;
    if (!(error instanceof BerthError) || status === undefined) throw error;
    const { correlationId } = c.var.call;
    const causes = messagesOf(error.cause).join(': ');
    parts.log.warn('outside sign-in failed', { correlationId, failure: error.error, detail: error.detail, causes });
    return await failurePage(c, describe(error, errorCatalogue[error.error]), status);
  }
}

/** The messages alone: what else errors of openid-client carry can hold tokens. */
function messagesOf(error: unknown): string[] {
  return error instanceof Error ? [error.message, ...messagesOf(error.cause)] : [];
}

function statusOf({ error }: BerthError): 400 | 403 | undefined {
  switch (error) {
    case 'outsideExpired':
    case 'outsideUnreachable':
      return 400;
    case 'outsideRefused':
      return 403;
    default:
      return undefined;
  }
}

function redirect(c: Context<Env>, url: string): Response {
  c.header('Cache-Control', 'no-store');
  c.header('Referrer-Policy', 'no-referrer');
  return c.redirect(url, 303);
}

type SecretKind = 'way' | 'ticket';

function secretOf(c: Context<Env>, kind: SecretKind): string | undefined {
  const text = getCookie(c, cookieName(c, kind));
  return text !== undefined && patterns[kind].test(text) ? text : undefined;
}

function setSecret(c: Context<Env>, kind: SecretKind, value: string): void {
  setCookie(c, cookieName(c, kind), value, { ...cookieOptions(c), maxAge: outsideSignInSeconds });
}

/** Lax: the browser comes back from another site. A form counts only with its CSRF field, whose cookie is strict. */
function cookieOptions(c: Context<Env>) {
  return { httpOnly: true, sameSite: 'Lax', path: '/', secure: isEncrypted(c) } as const;
}

function cookieName(c: Context<Env>, kind: SecretKind): string {
  return `${isEncrypted(c) ? '__Host-' : ''}berth-outside-${kind}`;
}

function isEncrypted(c: Context<Env>): boolean {
  return c.var.call.origin.startsWith('https://');
}
