import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { html, raw } from 'hono/html';
import type { HtmlEscapedString } from 'hono/utils/html';
import { BerthError } from '../../core/errors.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Env } from '../middleware/env.ts';

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>;

const style = `:root{color-scheme:light}
body{font:16px/1.4 system-ui,sans-serif;margin:0;padding:1rem;box-sizing:border-box;display:grid;place-items:center;min-height:100vh;background:#f3f4f6;color:#111827}
main{box-sizing:border-box;background:#fff;padding:2rem;border-radius:.5rem;box-shadow:0 1px 4px #0003;width:min(24rem,100%);overflow-wrap:anywhere}
main>:last-child{margin-bottom:0}
p.place{margin:0 0 .25rem;font-size:.875rem;color:#4b5563}
h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin:.75rem 0 .25rem}
input{box-sizing:border-box;width:100%;padding:.5rem;font:inherit;border:1px solid #6b7280;border-radius:.25rem}
button,a.way{margin-top:1rem;margin-right:.5rem;padding:.5rem 1rem;font:inherit;border:1px solid #1d4ed8;border-radius:.25rem;background:#1d4ed8;color:#fff}
button.plain,a.way{background:#fff;color:#1d4ed8}
a.way{display:block;margin:0;text-align:center;text-decoration:none}
hr{border:0;border-top:1px solid #d1d5db;margin:1.5rem 0}
p.wrong{color:#b91c1c}p.small{font-size:.875rem;color:#4b5563}
:focus-visible{outline:2px solid #1d4ed8;outline-offset:2px}`;
const styleHash = createHash('sha256').update(style).digest('base64');
const csrfBytes = 32;

export type PageStatus = 200 | 400 | 401 | 403 | 404 | 413 | 429;

/** A page of the login surface: no script, no frame, nothing from elsewhere. `formTo` are origins that its form may lead to. */
export async function pageAnswer(
  c: Context<Env>,
  page: {
    readonly title: string;
    readonly body: Html;
    readonly status?: PageStatus;
    readonly formTo?: readonly string[];
  },
): Promise<Response> {
  const formTo = ["'self'", ...(page.formTo ?? [])].join(' ');
  c.header(
    'Content-Security-Policy',
    `default-src 'none'; style-src 'sha256-${styleHash}'; form-action ${formTo}; frame-ancestors 'none'; base-uri 'none'`,
  );
  c.header('X-Frame-Options', 'DENY');
  // Not `no-referrer`: browsers would hide the origin of the form too.
  c.header('Referrer-Policy', 'same-origin');
  c.header('Cache-Control', 'no-store');
  const text = await html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${page.title}</title>
<style>${raw(style)}</style></head><body><main><p class="place">Berth at ${new URL(c.var.call.origin).host}</p><h1>${page.title}</h1>${page.body}</main></body></html>`;
  return c.html(text, page.status ?? 200);
}

/** What went wrong, for a person. */
export async function failurePage(c: Context<Env>, said: string, status: PageStatus): Promise<Response> {
  const body = html`<p class="wrong" role="alert">${said}</p>
<p class="small">Correlation id: ${c.var.call.correlationId}</p>`;
  return await pageAnswer(c, { title: 'Sign-in failed', body, status });
}

/**
 * The hidden field of a form: the same random text as in a cookie that other sites can neither read nor send along.
 * Source: OWASP, "Double Submit Cookie".
 */
export function csrfField(c: Context<Env>, ids: Ids): Html {
  const text = csrfCookie(c) ?? Buffer.from(ids.bytes(csrfBytes)).toString('base64url');
  const secure = isEncrypted(c);
  setCookie(c, cookieName(c), text, { httpOnly: true, sameSite: 'Strict', path: '/', secure });
  return html`<input type="hidden" name="csrf" value="${text}">`;
}

/** Throws `crossSite` unless the form came from a page of ours in the same browser. */
export function checkCsrf(c: Context<Env>, form: URLSearchParams): void {
  const [cookie = '', field = ''] = [csrfCookie(c), form.get('csrf') ?? ''];
  const origin = c.req.header('origin');
  const isForeign = origin !== undefined && origin !== c.var.call.origin;
  const site = c.req.header('sec-fetch-site');
  const isCrossSite = site !== undefined && site !== 'same-origin';
  if (isForeign || isCrossSite || cookie === '' || !sameText(cookie, field)) throw new BerthError('crossSite');
}

/** What a person types to say who they are. */
export function credentialFields(userName: string): Html {
  return html`<label for="username">User name</label>
<input id="username" name="username" autocomplete="username" required maxlength="320" value="${userName}">
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required maxlength="256">`;
}

function csrfCookie(c: Context<Env>): string | undefined {
  const text = getCookie(c, cookieName(c));
  return text !== undefined && /^[\w-]{43}$/.test(text) ? text : undefined;
}

/** Browsers keep a `__Host-` cookie to this host, and only over https. */
function cookieName(c: Context<Env>): string {
  return isEncrypted(c) ? '__Host-berth-csrf' : 'berth-csrf';
}

function isEncrypted(c: Context<Env>): boolean {
  return c.var.call.origin.startsWith('https://');
}

function sameText(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
