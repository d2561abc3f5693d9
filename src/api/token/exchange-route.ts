import type { Context } from 'hono';
import type { ExchangeToken, TenantProof } from '../../features/access/token-exchange.ts';
import type { BeforeIssue } from '../../features/access/token-holder.ts';
import { type ExchangeAnswer, type ExchangeForm, exchangeForm } from '../../wire/token/token-messages.ts';
import type { Env } from '../middleware/env.ts';
import { checkService, circumstancesOf, formOf } from './token-form.ts';

/** `POST /oauth2/exchange`: what `az acr login` and the Azure SDKs do first. */
export async function answerExchange(
  exchangeToken: ExchangeToken,
  c: Context<Env>,
  beforeIssue: BeforeIssue,
): Promise<Response> {
  const form = await formOf(c, exchangeForm);
  const { call } = c.var;
  checkService(form.service, call);
  const token = await exchangeToken({
    registry: call.registry,
    proof: proofOf(form),
    tenant: form.tenant,
    circumstances: circumstancesOf(call),
    beforeIssue,
  });
  c.header('Cache-Control', 'no-store');
  return c.json({ refresh_token: token } satisfies ExchangeAnswer);
}

function proofOf(form: ExchangeForm): TenantProof {
  return form.grant_type === 'refresh_token'
    ? { kind: 'refreshToken', token: form.refresh_token }
    : { kind: 'accessToken', token: form.access_token };
}
