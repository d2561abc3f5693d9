import { zstdDecompressSync } from 'node:zlib';
import { z } from 'zod';
import { createAuthorize } from '../../src/features/access/authorize.ts';
import { Callers } from '../../src/features/access/callers.ts';
import type { Circumstances } from '../../src/features/access/decision.ts';
import { RegistryTokens } from '../../src/features/access/registry-tokens.ts';
import { createRightsSource } from '../../src/features/access/rights-source.ts';
import { RunTokens } from '../../src/features/access/run-tokens.ts';
import { createExchangeToken } from '../../src/features/access/token-exchange.ts';
import { createIssueTokens } from '../../src/features/access/token-service.ts';
import { showAdminCredentials } from '../../src/features/identity/admin-account.ts';
import { prepareOwner } from '../../src/features/identity/owner.ts';
import { createSignIn } from '../../src/features/identity/sign-in.ts';
import { SigningKeys } from '../../src/features/identity/signing-keys.ts';
import { TenantTokens } from '../../src/features/identity/tenant-tokens.ts';
import { openDirectory } from '../../src/features/registries/directory.ts';
import { createRegistries, writeRegistry } from '../../src/features/registries/registries.ts';
import { createAccessLog } from '../../src/platform/access-log/create-access-log.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import type { HeldClock } from '../../src/platform/held-clock.ts';
import { createJournal } from '../../src/platform/journal/create-journal.ts';
import { parseMasterKeys } from '../../src/platform/keys/master-keys.ts';
import { createPasswordHasher } from '../../src/platform/keys/password-hasher.ts';
import { createSealer } from '../../src/platform/keys/sealer.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';

export type SampleAccess = Awaited<ReturnType<typeof sampleAccess>>;
export type SampleProcess = Awaited<ReturnType<typeof sampleProcess>>;

const sealer = createSealer(parseMasterKeys(Buffer.alloc(32, 7).toString('base64')), ids);
const passwords = createPasswordHasher(ids);
const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });

export const sampleCircumstances: Circumstances = {
  address: '192.0.2.1',
  surface: 'oci',
  correlationId: 'sample',
  userAgent: undefined,
};

/** For tests: a tenant with its owners and the registries `contoso` and `fabrikam`, admin accounts on; on an empty database. */
export async function sampleAccess(database: Database) {
  const journal = createJournal({ database, clock: systemClock, ids });
  const tenantUid = ids.uid();
  const account = { clock: systemClock, ids, sealer };
  const owner = await prepareOwner({ clock: systemClock, ids, passwords }, { tenantUid, userName: 'Olivia' });
  const [registryUid, otherUid] = await journal.transaction(async (tx, append) => {
    await tx
      .insertInto('tenants')
      .values({ uid: tenantUid, tenant_id: ids.guid(), access_epoch: 1, created_at: 0 })
      .execute();
    await owner.write(tx, append);
    const common = { tenantUid, sku: 'Premium', isAnonymousPullEnabled: false, actor: 'test' } as const;
    return [
      await writeRegistry(account, tx, append, { ...common, name: 'Contoso', isAdminEnabled: true }),
      await writeRegistry(account, tx, append, { ...common, name: 'fabrikam', isAdminEnabled: true }),
    ];
  });
  const adminPasswords = async (uid: string) => {
    const { passwords: both } = await showAdminCredentials({ sealer }, database.read, uid);
    return both.map((each) => each.value);
  };
  return { tenantUid, owner: owner.credentials, registryUid, otherUid, adminPasswords };
}

/** For tests: one process of that installation, with everything of its own. Its sleeps pass at once on the held clock. */
export async function sampleProcess(database: Database, tenantUid: string, held: HeldClock) {
  const clock: Clock = {
    nowMicros: held.nowMicros,
    monotonicMs: held.monotonicMs,
    sleep: async (ms) => held.advance(ms),
  };
  const journal = createJournal({ database, clock, ids });
  const accessLog = createAccessLog({ database, clock: systemClock, ids, log });
  const directory = await openDirectory({
    database,
    clock,
    tenantUid,
    loginServerOf: (name) => `${name.toLowerCase()}.berth.test:5443`,
    defaultRegistryName: 'contoso',
  });
  const keys = new SigningKeys({ database, journal, clock, ids, sealer, tenantUid, purpose: 'registryToken' });
  const lifetimes = { accessTokenSeconds: 4500, refreshTokenSeconds: 10_800 };
  const { tenant_id: tenantId } = await database.read
    .selectFrom('tenants')
    .where('uid', '=', tenantUid)
    .select('tenant_id')
    .executeTakeFirstOrThrow();
  const tokens = new RegistryTokens({ keys, clock, ids, lifetimes, tenantId });
  const tenantKeys = new SigningKeys({ database, journal, clock, ids, sealer, tenantUid, purpose: 'tenantToken' });
  const ofTenant = { keys: tenantKeys, clock, ids, tenantId, domain: 'berth.test', lifetimeSeconds: 3600 };
  const tenantTokens = new TenantTokens(ofTenant);
  const signIn = createSignIn({ database, tenantUid, passwords, accessLog, clock });
  const rightsSource = createRightsSource({ database });
  const callers = new Callers({ database, clock, ids, directory, signIn, tokens, accessLog });
  const issuing = { database, clock, callers, directory, rightsSource, tokens, tenantTokens, accessLog };
  return {
    directory,
    journal,
    keys,
    tenantKeys,
    tokens,
    signIn,
    authorize: createAuthorize({ callers, directory, rightsSource, accessLog }),
    tenantTokens,
    issueTokens: createIssueTokens(issuing),
    exchangeToken: createExchangeToken(issuing),
    runTokens: new RunTokens({ ...issuing, journal, ids, tenantUid }),
    registries: createRegistries({ clock, ids, sealer, journal, directory, tenantUid }),
    account: { clock, ids, sealer },
    accessLines: async () => {
      await accessLog.flush();
      const batches = await database.read
        .selectFrom('access_batches')
        .orderBy('first_at')
        .orderBy('seq')
        .select('bytes')
        .execute();
      return batches.flatMap(({ bytes }) => linesOf(bytes));
    },
    close: () => accessLog.close(),
  };
}

const accessLine = z.looseObject({ kind: z.string(), identity: z.string(), status: z.int() });

function linesOf(bytes: Uint8Array) {
  const text = new TextDecoder().decode(zstdDecompressSync(bytes));
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => accessLine.parse(JSON.parse(line)));
}

export function basic(userName: string, password: string): string {
  return `Basic ${Buffer.from(`${userName}:${password}`).toString('base64')}`;
}
