import assert from 'node:assert/strict';
import { z } from 'zod';
import type { BerthServer } from './berth-server.ts';

/** The control plane of a server without a client in between, as its owner. */
export class AzRest {
  /** `/subscriptions/{id}` of the installation. */
  readonly subscription: string;
  readonly #origin: string;
  readonly #token: string;

  constructor(origin: string, subscription: string, token: string) {
    this.#origin = origin;
    this.subscription = subscription;
    this.#token = token;
  }

  /** `path` begins with a slash; one without an api-version gets one. `body` is sent as JSON, a string as it is. */
  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Response> {
    const address = path.includes('?') ? path : `${path}?api-version=2023-07-01`;
    return await fetch(this.#origin + address, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json', ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  }

  /** Sends what has to succeed. */
  async done(method: string, path: string, body?: unknown): Promise<void> {
    const answer = await this.send(method, path, body);
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
}

/** Signs in with the client credentials of the owner. */
export async function azRest({ http, bootstrap }: BerthServer): Promise<AzRest> {
  const { owner, subscriptionId, tenantId } = bootstrap;
  const answer = await fetch(`${http}/${tenantId}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: owner.clientId,
      client_secret: owner.clientSecret,
      scope: `${http}/.default`,
    }),
  });
  const { access_token: token } = z.looseObject({ access_token: z.string() }).parse(await answer.json());
  return new AzRest(http, `/subscriptions/${subscriptionId}`, token);
}
