import type { Context } from 'hono';
import { Hono } from 'hono';
import { html } from 'hono/html';
import { BerthError } from '../../core/errors.ts';
import type { Env } from '../middleware/env.ts';
import { devicePagePath } from './device-endpoint.ts';
import { formLimit, formOf } from './login-form.ts';
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

/** Nobody is asked which program it is for: the code knows. */
const noClient = '00000000-0000-0000-0000-000000000000';

type Filled = {
  readonly code: string;
  readonly userName: string;
  readonly wrong: string | undefined;
  readonly status?: 400 | 429;
};

/** Where a person enters the code of a device and signs in. Source: RFC 8628, section 3.3. */
export function devicePage(parts: LoginParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get(devicePagePath, async (c) => {
    const code = (c.req.query('otc') ?? c.req.query('user_code') ?? '').slice(0, 20);
    return await show(parts, c, { code, userName: '', wrong: undefined });
  });
  routes.post(devicePagePath, formLimit, async (c) => await decide(parts, c));
  return routes;
}

async function decide(parts: LoginParts, c: Context<Env>): Promise<Response> {
  const form = await formOf(c);
  checkCsrf(c, form);
  const code = (form.get('code') ?? '').slice(0, 20);
  if (form.get('decision') === 'other') {
    await forgetOutsidePerson(parts, c);
    return c.redirect(placeOf(code), 303);
  }
  const userName = (form.get('username') ?? '').slice(0, 320);
  const signedIn = await pageSignIn(parts, c, form, noClient);
  if ('wrong' in signedIn) return await show(parts, c, { code, userName, ...signedIn });
  try {
    await parts.deviceCodes.decide(code, form.get('decision') === 'decline' ? undefined : signedIn.who);
  } catch (error) {
    if (!(error instanceof BerthError) || error.error !== 'deviceExpired') throw error;
    return await show(parts, c, { code, userName, wrong: 'No device waits for this code any more.', status: 400 });
  }
  const said = form.get('decision') === 'decline' ? 'The device was refused.' : 'The device is signed in.';
  return await pageAnswer(c, { title: said, body: html`<p>You can close this page.</p>` });
}

async function show(parts: LoginParts, c: Context<Env>, { code, userName, wrong, status }: Filled): Promise<Response> {
  const person = await outsidePersonOf(parts, c, noClient);
  const body = html`${wrong === undefined ? '' : html`<p class="wrong" role="alert">${wrong}</p>`}
<p>Enter only a code that you asked for yourself, on a device of yours.</p>
<form method="post" action="${devicePagePath}">${csrfField(c, parts.ids)}
<label for="code">Code</label>
<input id="code" name="code" required maxlength="20" autocomplete="off" value="${code}">
${personFields(person, userName)}
<button name="decision" value="approve">Sign in</button><button class="plain" name="decision" value="decline">Refuse</button>${otherAccountButton(person)}
</form>${outsideLink(parts.outsideSignIn, person, placeOf(code))}`;
  return await pageAnswer(c, { title: 'Sign in a device', body, ...(status === undefined ? {} : { status }) });
}

function placeOf(code: string): string {
  return code === '' ? devicePagePath : `${devicePagePath}?${new URLSearchParams({ otc: code }).toString()}`;
}
