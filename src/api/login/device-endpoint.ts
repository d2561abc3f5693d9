import { Hono } from 'hono';
import { deviceCodeSeconds, devicePollSeconds } from '../../features/identity/device-codes.ts';
import { type DeviceAnswer, deviceForm } from '../../wire/login/login-messages.ts';
import type { Env } from '../middleware/env.ts';
import { whatFor } from './asked-resource.ts';
import { tenantOf, tenantPattern } from './authority.ts';
import { formLimit, formOf, parseParameters } from './login-form.ts';
import type { LoginParts } from './login-parts.ts';

/** Where a person enters the code. */
export const devicePagePath = '/common/oauth2/deviceauth';

/** Begins the sign-in of a device. Source: RFC 8628, section 3.1; Azure CLI 2.45 appends `devicecode` to the token endpoint's folder. */
export function deviceEndpoint({ domain, deviceCodes, findClient, tenantTokens }: LoginParts): Hono<Env> {
  const routes = new Hono<Env>();
  for (const path of [
    '/adfs/oauth2/devicecode',
    `/${tenantPattern}/oauth2/v2.0/devicecode`,
    `/${tenantPattern}/oauth2/devicecode`,
  ]) {
    routes.post(path, formLimit, async (c) => {
      if (c.req.param('tenant') !== undefined) tenantOf(c, tenantTokens.tenantId);
      const form = parseParameters(deviceForm, await formOf(c));
      const scope = form.resource === undefined ? form.scope : `${form.resource}/.default openid offline_access`;
      whatFor(c, domain, scope);
      const { clientId } = await findClient(form.client_id);
      const { deviceCode, userCode } = await deviceCodes.begin(clientId, scope, c.var.call.address);
      const page = `${c.var.call.origin}${devicePagePath}`;
      const answer: DeviceAnswer = {
        device_code: deviceCode,
        user_code: userCode,
        verification_uri: page,
        verification_url: page,
        expires_in: deviceCodeSeconds,
        interval: devicePollSeconds,
        message: `To sign in, use a web browser to open the page ${page} and enter the code ${userCode} to authenticate.`,
      };
      return c.json(answer, 200, { 'Cache-Control': 'no-store' });
    });
  }
  return routes;
}
