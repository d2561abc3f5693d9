import assert from 'node:assert/strict';
import { azRest } from '../support/az-rest.ts';
import type { BerthServer } from '../support/berth-server.ts';
import { sampleBlob, sampleImage } from '../support/oci-samples.ts';

const registry = '/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries/local';

/** Makes webhooks on the default registry, one for each address. */
export async function makeWebhooks(server: BerthServer, addresses: readonly string[]): Promise<void> {
  const arm = await azRest(server);
  for (const [index, serviceUri] of addresses.entries())
    await arm.done('PUT', `${arm.subscription}${registry}/webhooks/hook${100 + index}`, {
      location: 'local',
      properties: { serviceUri, actions: ['push'] },
    });
}

/** Changes the webhook of an address, as its place among those that were made: whatever waits for it is sent at once. */
export async function changeWebhook(server: BerthServer, index: number): Promise<void> {
  const arm = await azRest(server);
  const properties = { customHeaders: { 'x-changed': 'yes' } };
  await arm.done('PATCH', `${arm.subscription}${registry}/webhooks/hook${100 + index}`, { properties });
}

/** Pushes one small image under many tags, some at once; resolves to how long each push of a manifest took, in milliseconds. */
export async function pushTags(server: BerthServer, tags: readonly string[], atOnce = 4): Promise<number[]> {
  const { username, password } = server.admin;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const put = async (path: string, body: Uint8Array, type: string) => {
    const method = path.includes('/uploads/') ? 'POST' : 'PUT';
    const begin = performance.now();
    const headers = { authorization, 'content-type': type };
    const answer = await fetch(`${server.http}${path}`, { method, headers, body: Buffer.from(body) });
    assert.equal(answer.status, 201, await answer.text());
    return performance.now() - begin;
  };
  const config = sampleBlob('{}');
  await put(`/v2/hooked/blobs/uploads/?digest=${config.digest}`, config.bytes, 'application/octet-stream');
  const image = sampleImage([config]);
  const waiting = [...tags];
  const took: number[] = [];
  const client = async () => {
    for (let tag = waiting.shift(); tag !== undefined; tag = waiting.shift())
      took.push(await put(`/v2/hooked/manifests/${tag}`, image.bytes, image.mediaType));
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return took;
}
