import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { startFaultyProxy } from '../../../../test/support/faulty-proxy.ts';
import { startS3Server } from '../../../../test/support/s3-server.ts';
import { createOutbound } from '../../outbound/outbound.ts';
import { systemClock } from '../../system-clock.ts';
import { systemIds } from '../../system-ids.ts';
import { chunked, collect, sample } from '../blob-store-suite.ts';
import { parseStoreAddress } from '../store-address.ts';
import { openS3Store } from './open-s3-store.ts';

const mebibyte = 1024 * 1024;
const asked = ['x-amz-server-side-encryption', 'x-amz-server-side-encryption-aws-kms-key-id'] as const;
const key = 'arn:aws:kms:eu-west-1:1:key/one';

/** Which request makes an object or an upload of several parts: those say how its bytes are kept, and no other. */
function makesObject({ method, url = '' }: IncomingMessage): boolean {
  const { searchParams } = new URL(url, 'http://store');
  if (method === 'POST') return searchParams.has('uploads');
  return method === 'PUT' && !searchParams.has('partNumber');
}

/*
 * versitygw takes the signed requests and ignores what they ask; which requests ask is seen on the way to it. That a service
 * encrypts is the service's.
 */
for (const [query, wanted] of [
  ['sse=AES256', ['AES256', undefined]],
  [`sse=aws:kms&kms-key=${encodeURIComponent(key)}`, ['aws:kms', key]],
] as const) {
  test(`S3 with ${query.split('&')[0]}: each object is asked to be kept encrypted, small and large, and read back`, async () => {
    await using server = await startS3Server();
    const seen: { readonly isMaking: boolean; readonly headers: readonly (string | string[] | undefined)[] }[] = [];
    await using proxy = await startFaultyProxy(server.endpoint, (incoming) => {
      seen.push({ isMaking: makesObject(incoming), headers: asked.map((name) => incoming.headers[name]) });
      return 'pass';
    });
    const address = parseStoreAddress(`s3://${server.bucket}/a?endpoint=${proxy.endpoint}&${query}`);
    assert.ok(address.kind === 's3');
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
    const parts = { outbound, ids: systemIds, clock: systemClock };
    const store = openS3Store({ address, credentials: server.credentials, ...parts });
    for (const sizes of [[300], [6 * mebibyte, 6 * mebibyte, 5]]) {
      const handle = await store.begin();
      const tokens: string[] = [];
      let offset = 0;
      for (const size of sizes) {
        const part = await store.part(handle, { number: tokens.length + 1, offset }, chunked(sample(size)));
        tokens.push(part.token);
        offset += part.sizeBytes;
      }
      const stored = await collect(store.read(await store.complete(handle, tokens)));
      assert.ok(stored.equals(Buffer.concat(sizes.map((size) => sample(size)))));
    }
    const making = seen.filter(({ isMaking }) => isMaking);
    assert.ok(making.length >= 2, String(making.length));
    for (const { headers } of making) assert.deepEqual(headers, wanted);
    for (const { isMaking, headers } of seen) if (!isMaking) assert.deepEqual(headers, [undefined, undefined]);
  });
}
