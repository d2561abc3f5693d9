import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAzureServer } from '../support/azure-server.ts';
import { type BerthOptions, startBerth } from '../support/berth-server.ts';
import { startFaultyProxy } from '../support/faulty-proxy.ts';
import { run } from '../support/run.ts';
import { startS3Server } from '../support/s3-server.ts';
import { samples } from '../support/samples.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, bytesOf, imageOf } from './content.ts';
import { RegistryClient } from './registry-client.ts';

type Store = AsyncDisposable & { readonly blobs: string; readonly endpoint: string };

const stores: Record<string, () => Promise<{ store: Store; env: Record<string, string> }>> = {
  S3: async () => {
    const store = await startS3Server();
    const { accessKeyId, secretAccessKey } = store.credentials;
    return { store, env: { BERTH_BLOBS_KEY_ID: accessKeyId, BERTH_BLOBS_KEY: secretAccessKey } };
  },
  Azure: async () => {
    const store = await startAzureServer();
    return { store, env: { BERTH_BLOBS_KEY: store.accountKey } };
  },
};

for (const [name, open] of Object.entries(stores)) {
  for (const redirect of ['off', 'on']) {
    test(`${name}, redirects ${redirect}: skopeo pushes and pulls; ranges, HEAD and chunks are right`, async () => {
      const { store, env } = await open();
      await using _store = store;
      const settings = { blobs: store.blobs, 'blobs-redirect': redirect };
      await using server = await startBerth({ settings, env } satisfies BerthOptions);
      using folder = temporaryFolder('object-store');
      const { layout, digests } = await samples();
      const credential = `${server.admin.username}:${server.admin.password}`;
      const image = `docker://localhost:${server.ports.http}/team/app:1`;
      const copy = ['copy', '--all', '--preserve-digests'];
      const push = [...copy, '--dest-tls-verify=false', '--dest-creds', credential, `oci:${layout}:multi`, image];
      await run('skopeo', push);
      // Once more: what is there is compared or skipped.
      await run('skopeo', push);
      const pulled = join(folder.path, 'pulled');
      const source = ['--src-tls-verify=false', '--src-creds', credential];
      await run('skopeo', [...copy, ...source, image, `dir:${pulled}`]);
      assert.equal(sha256Of(join(pulled, 'manifest.json')), digests.multi);
      for (const file of readdirSync(pulled).filter((entry) => /^[0-9a-f]{64}$/.test(entry)))
        assert.equal(sha256Of(join(pulled, file)), `sha256:${file}`);

      const client = new RegistryClient(server.http, server.admin);
      const blob = blobSeed(12_000_001);
      await client.pushBlob('team/app', blob, 'chunks');
      const path = `/v2/team/app/blobs/${blob.digest}`;
      const head = await client.expect(200, 'HEAD', path);
      assert.equal(head.headers['content-length'], String(blob.sizeBytes));
      const whole = await followed(client, path, {});
      assert.deepEqual(whole.bytes, bytesOf(blob));
      const part = await followed(client, path, { range: 'bytes=5000000-9999999' });
      assert.equal(part.status, 206);
      assert.deepEqual(part.bytes, bytesOf(blob).subarray(5_000_000, 10_000_000));
      const first = await client.call('GET', path);
      assert.equal(first.status, redirect === 'on' ? 307 : 200);
      assert.ok(!/Signature|[?&]sig=/.test(server.log()), 'no signed address is in the log');
    });
  }
}

for (const [name, open] of Object.entries(stores))
  test(`${name}: whether a blob is there is never asked of the store`, async () => {
    const { store, env } = await open();
    await using _store = store;
    await using proxy = await startFaultyProxy(store.endpoint, () => 'pass');
    const settings = { blobs: store.blobs.replace(store.endpoint, proxy.endpoint) };
    await using server = await startBerth({ settings, env } satisfies BerthOptions);
    const client = new RegistryClient(server.http, server.admin);
    const blob = blobSeed(3_000);
    await client.pushBlob('team/app', blob);
    // Anybody's request for a blob's object, or one by the name it would have.
    const isOfBlob = (line: string) => /\/blobs\/[0-9a-f]{32}/.test(line);
    const before = proxy.seen.filter(isOfBlob).length;
    const asked = () => proxy.seen.filter(isOfBlob).slice(before);
    assert.ok(before > 0, 'the push went through here');
    await client.expect(200, 'HEAD', `/v2/team/app/blobs/${blob.digest}`);
    await client.expect(404, 'HEAD', `/v2/team/app/blobs/${blobSeed(10).digest}`);
    await client.expect(201, 'POST', `/v2/team/other/blobs/uploads/?mount=${blob.digest}&from=team/app`);
    assert.deepEqual(asked(), []);
    // An image's configuration is read once it is pushed, for its platform.
    await client.putManifest('team/app', 'v1', imageOf([blob]));
    const missing = imageOf([blob, blobSeed(20)]);
    const headers = { 'content-type': missing.mediaType };
    await client.expect(400, 'PUT', '/v2/team/app/manifests/v2', { body: missing.text, headers });
    assert.ok(asked().every((line) => line.startsWith('GET ')));
    client.close();
  });

function sha256Of(file: string): string {
  return `sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
}

/** As clients do it: without the registry's credential at another host. */
async function followed(client: RegistryClient, path: string, headers: Record<string, string>) {
  const answer = await client.call('GET', path, { headers });
  if (answer.status !== 307) return { status: answer.status, bytes: answer.body };
  const stored = await fetch(answer.headers.location ?? '', { headers });
  return { status: stored.status, bytes: Buffer.from(await stored.arrayBuffer()) };
}
