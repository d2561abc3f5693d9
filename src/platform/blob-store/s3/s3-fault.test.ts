import assert from 'node:assert/strict';
import { test } from 'node:test';
import { webhookReceiver } from '../../../../test/support/webhook-receiver.ts';
import { createOutbound } from '../../outbound/outbound.ts';
import { systemClock } from '../../system-clock.ts';
import { systemIds } from '../../system-ids.ts';
import { parseStoreAddress } from '../store-address.ts';
import { openS3Store } from './open-s3-store.ts';

const bodies = { nothing: '', 'a page': '<html><body>Not found</body></html>', 'a sentence': '404 page not found' };

for (const [what, body] of Object.entries(bodies))
  test(`whatever answers 404 with ${what} is no empty store`, async () => {
    const proxy = await webhookReceiver((_received, response) => void response.writeHead(404).end(body));
    const address = parseStoreAddress(`s3://bucket/a?endpoint=${proxy.url}`);
    assert.ok(address.kind === 's3');
    const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };
    const store = openS3Store({ address, credentials, outbound, ids: systemIds, clock: systemClock });
    await assert.rejects(store.mark.read());
    await assert.rejects(store.notes.get('inventory'));
    await assert.rejects(Array.fromAsync(store.list('')));
    await assert.rejects(store.removeMany(['key']));
    await outbound.close();
    await proxy.close();
  });
