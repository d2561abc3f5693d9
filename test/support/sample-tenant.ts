import { Hono } from 'hono';
import { graphRoutes } from '../../src/api/graph/graph-routes.ts';
import { loginRoutes } from '../../src/api/login/login-routes.ts';
import type { Env } from '../../src/api/middleware/env.ts';
import { parseRegistryName } from '../../src/core/registry-name.ts';
import { AuthorizationCodes } from '../../src/features/identity/authorization-codes.ts';
import { ClientAssertions } from '../../src/features/identity/client-assertions.ts';
import { createFindClient } from '../../src/features/identity/clients.ts';
import { DeviceCodes } from '../../src/features/identity/device-codes.ts';
import { OutsideIssuers } from '../../src/features/identity/outside-issuers.ts';
import { prepareOwner } from '../../src/features/identity/owner.ts';
import { createSignIn } from '../../src/features/identity/sign-in.ts';
import { SignInSessions } from '../../src/features/identity/sign-in-sessions.ts';
import { SigningKeys } from '../../src/features/identity/signing-keys.ts';
import { createTenantCaller } from '../../src/features/identity/tenant-caller.ts';
import { TenantDirectory } from '../../src/features/identity/tenant-directory.ts';
import { TenantTokens } from '../../src/features/identity/tenant-tokens.ts';
import { openAccess, type Registry } from '../../src/features/registries/registry.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import type { HeldClock } from '../../src/platform/held-clock.ts';
import { createJournal } from '../../src/platform/journal/create-journal.ts';
import { parseMasterKeys } from '../../src/platform/keys/master-keys.ts';
import { createPasswordHasher } from '../../src/platform/keys/password-hasher.ts';
import { createSealer } from '../../src/platform/keys/sealer.ts';
import { createLog } from '../../src/platform/log.ts';
import type { Outbound } from '../../src/platform/outbound/outbound.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';

export type SampleTenant = Awaited<ReturnType<typeof sampleTenant>>;

export const sampleOrigin = 'https://localhost:5443';
const passwords = createPasswordHasher(ids);

/**
 * For tests: a tenant with its owners on an empty database, and the apps of sign-in and directory as one process has them.
 * Its sleeps pass at once on the held clock; `pages` are what the outside answers, by address.
 */
export async function sampleTenant(
  database: Database,
  held: HeldClock,
  pages: ReadonlyMap<string, unknown> = new Map(),
) {
  const clock: Clock = {
    nowMicros: held.nowMicros,
    monotonicMs: held.monotonicMs,
    sleep: async (ms) => held.advance(ms),
  };
  const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
  const accessLog = { record: () => {}, flush: async () => {}, close: async () => {} };
  const journal = createJournal({ database, clock, ids });
  const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
  const [tenantUid, tenantId] = [ids.uid(), ids.guid()];
  const owner = await prepareOwner({ clock, ids, passwords }, { tenantUid, userName: 'olivia' });
  await journal.transaction(async (tx, append) => {
    await tx
      .insertInto('tenants')
      .values({ uid: tenantUid, tenant_id: tenantId, access_epoch: 1, created_at: 0 })
      .execute();
    await owner.write(tx, append);
  });

  const parts = { database, clock, ids, log, accessLog, journal, sealer, passwords, tenantUid };
  const keys = new SigningKeys({ ...parts, purpose: 'tenantToken' });
  const tenantTokens = new TenantTokens({ ...parts, keys, tenantId, domain: 'berth.test', lifetimeSeconds: 3600 });
  const tenantDirectory = new TenantDirectory(parts);
  const outsideIssuers = new OutsideIssuers(outside(pages), clock);
  const app = new Hono<Env>();
  app.use(async (c, next) => {
    // As the outermost middleware has it, for the host of the request.
    const { hostname } = new URL(c.req.url);
    const registry = sampleRegistry(tenantUid);
    c.set('call', {
      correlationId: 'sample',
      address: c.req.header('x-sample-address') ?? '192.0.2.1',
      origin: sampleOrigin.replace('localhost', hostname),
      userAgent: undefined,
      registry,
    });
    await next();
  });
  const tenantCaller = createTenantCaller({ ...parts, tenantTokens });
  const transfer = { minBytesPerSecond: 1, windowMs: 60_000 };
  app.route(
    '/',
    graphRoutes({ ...parts, tenantCaller, tenantDirectory, tenantTokens, transfer, domain: 'berth.test' }),
  );
  app.route(
    '/',
    loginRoutes({
      ...parts,
      signIn: createSignIn(parts),
      tenantTokens,
      clientAssertions: new ClientAssertions({ ...parts, outsideIssuers }),
      sessions: new SignInSessions({ ...parts, outsideLifetimeMs: 86_400_000 }),
      deviceCodes: new DeviceCodes(parts),
      authorizationCodes: new AuthorizationCodes(parts),
      findClient: createFindClient(database, tenantUid),
      domain: 'berth.test',
      portSuffix: ':5443',
    }),
  );
  return { app, tenantId, tenantUid, owner: owner.credentials, keys, sealer, tenantCaller, tenantDirectory, journal };
}

/** No route of the tenant looks at it. */
function sampleRegistry(tenantUid: string): Registry {
  return {
    uid: 'registry',
    tenantUid,
    name: parseRegistryName('contoso'),
    loginServer: 'contoso.berth.test:5443',
    sku: 'Premium',
    isAdminEnabled: false,
    isAnonymousPullEnabled: false,
    resourceKey: '/subscriptions/s/resourcegroups/g/providers/microsoft.containerregistry/registries/contoso',
    ...openAccess,
  };
}

/** Answers JSON at some addresses, 404 elsewhere. */
function outside(pages: ReadonlyMap<string, unknown>): Pick<Outbound, 'call'> {
  return {
    call: async ({ url }) => ({
      status: pages.has(url) ? 200 : 404,
      headers: new Map(),
      url,
      body: bytesOf(JSON.stringify(pages.get(url) ?? null)),
      discard: async () => {},
    }),
  };
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
