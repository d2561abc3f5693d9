import assert from 'node:assert/strict';
import type { BerthServer } from './berth-server.ts';
import { type SampleBlob, type SampleManifest, sampleBlob, sampleImage } from './oci-samples.ts';

/** A request to the default registry as its administrator. */
export async function asAdmin(
  { http, admin }: BerthServer,
  method: string,
  path: string,
  {
    body,
    headers = {},
  }: { readonly body?: Uint8Array<ArrayBuffer>; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Response> {
  const basic = Buffer.from(`${admin.username}:${admin.password}`).toString('base64');
  const authorization = `Basic ${basic}`;
  return await fetch(`${http}${path}`, { method, headers: { authorization, ...headers }, ...(body && { body }) });
}

/** A small linux/arm64 image whose one layer is made of `seed`. */
export function platformImage(seed: string, more: Readonly<Record<string, unknown>> = {}) {
  const blobs = [sampleBlob(JSON.stringify({ architecture: 'arm64', os: 'linux', seed })), sampleBlob(seed, 1000)];
  return { blobs, image: sampleImage(blobs, more) };
}

/** Pushes blobs and the manifest of them. */
export async function pushSample(
  server: BerthServer,
  repository: string,
  { blobs, image }: { readonly blobs: readonly SampleBlob[]; readonly image: SampleManifest },
  ...references: readonly string[]
): Promise<void> {
  const headers = { 'Content-Type': 'application/octet-stream' };
  for (const { bytes, digest } of blobs)
    await done(
      asAdmin(server, 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: plain(bytes), headers }),
    );
  for (const reference of references)
    await done(
      asAdmin(server, 'PUT', `/v2/${repository}/manifests/${reference}`, {
        body: plain(image.bytes),
        headers: { 'Content-Type': image.mediaType },
      }),
    );
}

async function done(request: Promise<Response>): Promise<void> {
  const answer = await request;
  assert.equal(answer.status, 201, await answer.text());
}

function plain(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}
