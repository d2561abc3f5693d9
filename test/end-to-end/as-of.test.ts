import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { sampleBlob, sampleImage } from '../support/oci-samples.ts';
import { useWorkbench } from './workbench.ts';

const listSchema = z.object({ name: z.string(), tags: z.array(z.string()) });

/** What a tag pointed to, and which there were, at an instant. */
describe('time travel', () => {
  const bench = useWorkbench();
  const authorization = () => `Basic ${Buffer.from(`${bench().username}:${bench().password}`).toString('base64')}`;
  const send = async (method: string, path: string, headers: Record<string, string> = {}, body?: Uint8Array) =>
    await fetch(`${bench().server.http}${path}`, {
      method,
      headers: { authorization: authorization(), ...headers },
      ...(body === undefined ? {} : { body: Buffer.from(body) }),
    });
  const push = async (tag: string): Promise<string> => {
    const config = sampleBlob();
    const type = { 'content-type': 'application/octet-stream' };
    await send('POST', `/v2/app/blobs/uploads/?digest=${config.digest}`, type, config.bytes);
    const image = sampleImage([config]);
    const put = await send('PUT', `/v2/app/manifests/${tag}`, { 'content-type': image.mediaType }, image.bytes);
    assert.equal(put.status, 201);
    return image.digest;
  };
  /** An instant that no change shares its millisecond with. */
  const instant = async (): Promise<string> => {
    await sleep(5);
    const now = new Date().toISOString();
    await sleep(5);
    return now;
  };
  const tagsAt = async (at: string) =>
    listSchema.parse(await (await send('GET', `/v2/app/tags/list?asOf=${at}`)).json()).tags;
  const digestAt = async (tag: string, at: string) => {
    const answer = await send('GET', `/v2/app/manifests/${tag}?asOf=${at}`);
    return answer.status === 200 ? answer.headers.get('docker-content-digest') : answer.status;
  };

  test('tags are listed and resolved as they were, right after the change and when the index has caught up', async () => {
    const before = await instant();
    const first = await push('latest');
    const one = await instant();
    const second = await push('latest');
    await push('v2');
    const two = await instant();
    assert.equal((await send('DELETE', '/v2/app/manifests/latest')).status, 202);
    const three = await instant();
    assert.equal((await send('DELETE', `/v2/app/manifests/${second}`)).status, 202);
    const four = await instant();
    const check = async () => {
      assert.deepEqual(await tagsAt(before), []);
      assert.deepEqual(await tagsAt(one), ['latest']);
      assert.deepEqual(await tagsAt(two), ['latest', 'v2']);
      assert.deepEqual(await tagsAt(three), ['v2']);
      assert.deepEqual(await tagsAt(four), ['v2']);
      assert.deepEqual(await digestAt('latest', one), first);
      // Its manifest is deleted: it is known to have been there, and cannot be pulled.
      assert.deepEqual(await digestAt('latest', two), 404);
      assert.deepEqual(await digestAt('latest', before), 404);
    };
    await check();
    await sleep(5_000);
    await check();
  });

  test('a push of what a tag points to already does not hide that it was there', async () => {
    const { digest, bytes, mediaType } = sampleImage([sampleBlob('again')]);
    const again = sampleBlob('again');
    const type = { 'content-type': 'application/octet-stream' };
    await send('POST', `/v2/app/blobs/uploads/?digest=${again.digest}`, type, again.bytes);
    const put = async () => await send('PUT', '/v2/app/manifests/same', { 'content-type': mediaType }, bytes);
    await put();
    const between = await instant();
    await put();
    assert.equal(await digestAt('same', between), digest);
  });

  test('what cannot be asked is refused', async () => {
    const status = async (path: string) => (await send('GET', path)).status;
    assert.equal(await status('/v2/app/tags/list?asOf=yesterday'), 400);
    assert.equal(await status(`/v2/app/manifests/sha256:${'0'.repeat(64)}?asOf=2030-01-01T00:00:00Z`), 400);
    assert.equal(await status('/v2/_catalog?asOf=2030-01-01T00:00:00Z'), 400);
    const stranger = await fetch(`${bench().server.http}/v2/app/tags/list?asOf=2030-01-01T00:00:00Z`);
    assert.equal(stranger.status, 401);
  });
});
