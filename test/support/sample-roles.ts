import { Hono } from 'hono';
import { createArm } from '../../src/api/arm/create-arm.ts';
import { renderArmError } from '../../src/api/arm/render-arm-error.ts';
import type { Env } from '../../src/api/middleware/env.ts';
import { BerthError } from '../../src/core/errors.ts';
import { findPrincipal } from '../../src/features/access/role-principals.ts';
import { objectIdOf } from '../../src/features/identity/object-id.ts';
import { insertPrincipal, insertSecret } from '../../src/features/identity/principal-store.ts';
import { createAccessLog } from '../../src/platform/access-log/create-access-log.ts';
import { createFolderStore } from '../../src/platform/blob-store/folder-store.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { createFailpoints } from '../../src/platform/failpoints.ts';
import { HeldClock } from '../../src/platform/held-clock.ts';
import { createJobs } from '../../src/platform/jobs/create-jobs.ts';
import { hashSecret } from '../../src/platform/keys/secret-hash.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { basic, sampleAccess, sampleProcess } from './sample-access.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type SampleRoles = Awaited<ReturnType<typeof sampleRoles>>;

/** Somebody with a secret: `as` for the control plane, `header` for registries. */
export type SamplePerson = {
  readonly uid: string;
  readonly objectId: string;
  readonly name: string;
  readonly as: string;
  readonly header: string;
};

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const version = 'api-version=2022-04-01';
const secret = 'a-secret-of-a-sample-person-0123456789';

/** For tests: the two sample registries with the control plane that one process has, and as many people as are asked for. */
export async function sampleRoles(database: Database) {
  const sample = await sampleAccess(database);
  const here = await sampleProcess(database, sample.tenantUid, new HeldClock());
  const folder = temporaryFolder('roles');
  const { tenantUid } = sample;
  const tenantId = ids.guid();
  const store = createFolderStore({ folder: folder.path, ids, failpoint: createFailpoints(undefined, systemClock) });
  const jobs = createJobs({ database, clock: systemClock, ids, log, pollMs: 10 });
  const accessLog = createAccessLog({ database, clock: systemClock, ids, log });
  const arm = createArm({
    ...here.account,
    ...{ clock: systemClock, database, journal: here.journal, store, jobs, accessLog, log, tenantUid, tenantId },
    domain: 'berth.test',
    loginServerOf: (label) => `${label}.berth.test`,
    defaultRegistryName: 'contoso',
    locationNames: ['local'],
    transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
    tenantCaller: async (authorization = '') => {
      const principal = await findPrincipal(database.read, tenantUid, authorization.slice('Bearer '.length));
      if (principal === undefined) throw new BerthError('unauthorized');
      return principal;
    },
  });
  const app = new Hono<Env>();
  const registry = here.directory.defaultRegistry();
  if (registry === undefined) throw new Error('the sample has a default registry');
  app.use(async (c, next) => {
    const call = { correlationId: 'test', address: '192.0.2.1', origin: 'https://arm.test', userAgent: undefined };
    c.set('call', { ...call, registry });
    await next();
  });
  app.onError((error, c) => {
    if (error instanceof BerthError) return renderArmError(c, error);
    throw error;
  });
  app.route('/', arm.routes);

  const person = async (name: string, isOwner = false): Promise<SamplePerson> => {
    const uid = ids.uid();
    await database.transaction(async (tx) => {
      const common = { tenantUid, kind: 'servicePrincipal', registryUid: undefined, isOwner } as const;
      await insertPrincipal(tx, { ...common, uid, loginName: name, displayName: name }, 0);
      const verifier = hashSecret(secret);
      await insertSecret(tx, uid, { uid: ids.uid(), name: 'clientSecret', verifier, sealed: undefined }, 0);
    });
    return { uid, objectId: objectIdOf(uid), name, as: `Bearer ${uid}`, header: basic(name, secret) };
  };
  const owner = await person('olivia-of-roles', true);
  const send = async (method: string, path: string, body?: unknown, as = owner.as): Promise<Response> =>
    await app.request(`https://arm.test${path}${path.includes('?') ? '&' : '?'}${version}`, {
      method,
      headers: { authorization: as },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  /** Answers the id of the assignment. */
  const assign = async (who: SamplePerson, role: string, scope: string, more: object = {}): Promise<string> => {
    const id = `${scope}/providers/Microsoft.Authorization/roleAssignments/${ids.guid()}`;
    const answer = await send('PUT', id, { properties: { ...properties(who, role), ...more } });
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    return id;
  };
  const properties = (who: SamplePerson, role: string) => ({
    roleDefinitionId: `${subscription}/providers/Microsoft.Authorization/roleDefinitions/${role}`,
    principalId: who.objectId,
  });
  const subscription = registry.resourceKey.split('/').slice(0, 3).join('/');
  const registries = `${subscription}/resourceGroups/berth/providers/Microsoft.ContainerRegistry/registries`;
  return {
    ...sample,
    ...{ here, person, owner, send, assign, properties, subscription },
    group: `${subscription}/resourceGroups/berth`,
    contoso: `${registries}/Contoso`,
    fabrikam: `${registries}/fabrikam`,
    types: arm.types,
    runJobs: () => jobs.start(arm.jobKinds),
    close: async () => {
      await jobs.stop();
      await here.close();
      await accessLog.close();
      folder.remove();
    },
  };
}
