import assert from 'node:assert/strict';
import { z } from 'zod';
import type { BerthServer } from './berth-server.ts';

const errorSchema = z.object({ error: z.object({ code: z.string(), message: z.string() }) });

/** Actions on the default registry through the resource manager, as its owner. */
export async function armCaller(server: BerthServer) {
  const { tenantId, subscriptionId, owner } = server.bootstrap;
  const answer = await fetch(`${server.http}/${tenantId}/oauth2/v2.0/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: owner.clientId,
      client_secret: owner.clientSecret,
      scope: 'https://management.azure.com/.default',
    }),
  });
  const { access_token: token } = z.object({ access_token: z.string() }).parse(await answer.json());
  const registry =
    `${server.http}/subscriptions/${subscriptionId}/resourceGroups/berth` +
    '/providers/Microsoft.ContainerRegistry/registries/local';
  const call = async (method: string, path: string, body?: object) =>
    await fetch(`${registry}${path === '' ? '' : `/${path}`}${path.includes('?') ? '&' : '?'}api-version=2019-04-01`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const right = async (response: Response, status = 200): Promise<unknown> => {
    const text = await response.text();
    assert.equal(response.status, status, text);
    return JSON.parse(text);
  };
  return {
    get: async (path: string) => await right(await call('GET', path)),
    post: async (path: string, body?: object) => await right(await call('POST', path, body)),
    put: async (path: string, body: object, status = 200) => await right(await call('PUT', path, body), status),
    /** Changes the registry itself. */
    patch: async (body: object) => await right(await call('PATCH', '', body)),
    /** The error that it is answered with. */
    refused: async (path: string, body?: object) => {
      const response = await call('POST', path, body);
      assert.notEqual(response.status, 200);
      return errorSchema.parse(await response.json());
    },
  };
}
