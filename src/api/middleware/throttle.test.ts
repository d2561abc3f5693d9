import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Hono } from 'hono';
import { parseRegistryName } from '../../core/registry-name.ts';
import type { RequestClass } from '../../core/throttle-limits.ts';
import { anonymous, type Principal } from '../../features/identity/principal.ts';
import { openAccess, type Registry } from '../../features/registries/registry.ts';
import { OwnBuckets } from '../../features/throttling/own-buckets.ts';
import { Throttle } from '../../features/throttling/throttle.ts';
import type { Access } from '../../platform/access-log/access-log.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createLog } from '../../platform/log.ts';
import type { Env } from './env.ts';
import { renderFailure } from './render-failure.ts';
import { throttleRequests } from './throttle.ts';

const anna: Principal = { kind: 'user', uid: 'anna', name: 'Anna', isOwner: false, registryUid: undefined };
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

/** A route behind the throttle, for a Basic registry. */
function sample({ isThrottled = true, principal = anna as Principal | undefined } = {}) {
  const clock = new HeldClock();
  const recorded: Access[] = [];
  const throttle = throttleRequests({
    throttle: new Throttle({
      buckets: new OwnBuckets(clock),
      addresses: new OwnBuckets(clock),
      table: 'current',
      pauseMs: 60_000,
    }),
    accessLog: { record: (access) => recorded.push(access), flush: async () => {}, close: async () => {} },
  });
  const registry: Registry = {
    ...openAccess,
    uid: 'contoso',
    tenantUid: 'tenant',
    name: parseRegistryName('contoso'),
    resourceKey: '/contoso',
    loginServer: 'contoso.berth.test',
    sku: 'Basic',
    isAdminEnabled: false,
    isAnonymousPullEnabled: true,
    isThrottled,
  };
  const app = new Hono<Env>();
  app.onError(renderFailure(log));
  const route = (path: string, requestClass: RequestClass) =>
    app.all(path, async (c) => {
      const origin = 'http://localhost';
      c.set('call', { registry, address: '192.0.2.1', correlationId: 'one', origin, userAgent: undefined });
      await throttle(c, requestClass, principal);
      return c.json({});
    });
  route('/v2/', 'read');
  route('/v2/delete', 'delete');
  route('/oauth2/token', 'oauth');
  return { clock, recorded, ask: async (path: string) => await app.request(path) };
}

test('answers say what is left, as ACR and as Docker Hub say it', async () => {
  const { ask } = sample({ principal: undefined });
  const { headers } = await ask('/oauth2/token');
  assert.equal(headers.get('x-ms-ratelimit-remaining-calls-per-second'), '166.65');
  assert.equal(headers.get('ratelimit-limit'), '10000;w=60');
  assert.equal(headers.get('ratelimit-remaining'), '9999;w=60');
});

test('who has spent the requests of a minute is told how long to wait, and the audit hears of it', async () => {
  const { ask, clock, recorded } = sample();
  for (let index = 0; index < 500; index++) assert.equal((await ask('/v2/delete')).status, 200);
  const refused = await ask('/v2/delete');
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get('retry-after'), '60');
  assert.equal(refused.headers.get('ratelimit-remaining'), '0;w=60');
  const detail = { requests: 'delete', of: 'identity', perMinute: 500 };
  assert.deepEqual(await refused.json(), {
    errors: [{ code: 'TOOMANYREQUESTS', message: 'too many requests', detail }],
  });
  clock.advance(10_500);
  assert.equal((await ask('/v2/delete')).headers.get('retry-after'), '50');
  clock.advance(49_500);
  assert.equal((await ask('/v2/delete')).status, 200);
  assert.deepEqual(
    recorded.map(({ kind, status, identity, reason }) => ({ kind, status, identity, reason })),
    Array.from({ length: 2 }, () => ({
      kind: 'denial',
      status: 429,
      identity: 'anna',
      reason: 'throttled: 500 delete requests a minute of the identity are spent',
    })),
  );
});

test('Retry-After is no second longer than the pause where the last bits of the clock are rounded up', async () => {
  const { ask, clock } = sample();
  clock.advance(10_000.0369);
  for (let index = 0; index < 500; index++) await ask('/v2/delete');
  assert.equal((await ask('/v2/delete')).headers.get('retry-after'), '60');
});

test('where throttling is off, nothing is said to those who signed in, and strangers hear what their address has left', async () => {
  const signedIn = sample({ isThrottled: false });
  assert.equal((await signedIn.ask('/v2/')).headers.get('ratelimit-limit'), null);
  const strangers = sample({ isThrottled: false, principal: anonymous });
  assert.equal((await strangers.ask('/v2/')).headers.get('ratelimit-limit'), '500;w=60');
});
