import type { Hono } from 'hono';
import { loginServerOf } from '../../src/addresses.ts';
import { createArm } from '../../src/api/arm/create-arm.ts';
import type { Env } from '../../src/api/middleware/env.ts';
import { createMetrics } from '../../src/api/middleware/metrics.ts';
import { composeApp, transferOf } from '../../src/compose-app.ts';
import { composeBuilds } from '../../src/compose-builds.ts';
import { composeFeatures, type Features } from '../../src/compose-features.ts';
import { composeTasks } from '../../src/compose-tasks.ts';
import { objectIdOf } from '../../src/features/identity/object-id.ts';
import { insertPrincipal, insertSecret } from '../../src/features/identity/principal-store.ts';
import type { TenantResource } from '../../src/features/identity/tenant-resource.ts';
import type { SignedIn } from '../../src/features/identity/tenant-tokens.ts';
import { defaultRegistryName } from '../../src/installation.ts';
import { loadSettings } from '../../src/load-settings.ts';
import { openData } from '../../src/open-data.ts';
import { createJobs } from '../../src/platform/jobs/create-jobs.ts';
import { hashSecret } from '../../src/platform/keys/secret-hash.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock as clock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { basic } from './sample-access.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type MountedApp = Awaited<ReturnType<typeof mountedApp>>;

/** Somebody with a secret: `header` for registries, `bearer` for the tenant's own surfaces. */
export type MountedPerson = {
  readonly objectId: string;
  readonly header: string;
  readonly bearer: (resource: TenantResource) => Promise<string>;
};

const origin = 'http://localhost:5000';
const secret = 'a-secret-of-a-sample-person-0123456789';

/**
 * For tests: the program's own application on a new data folder, every surface on one origin and without a socket; nothing
 * runs in the background. `replaced` are features that are others than the program's.
 */
export async function mountedApp(
  flags: Readonly<Record<string, string>> = {},
  replaced: Partial<Pick<Features, 'authorize'>> = {},
) {
  const folder = temporaryFolder('mounted');
  const opened = new AsyncDisposableStack();
  opened.defer(() => folder.remove());
  const { settings } = loadSettings({
    flags: { data: folder.path, ...flags },
    environment: {},
    readFile: () => '',
  });
  const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
  const data = await openData(settings, { log, opened, role: 'alone', link: undefined, failpoints: undefined });
  const features = { ...(await composeFeatures(settings, data)), ...replaced };
  const jobs = createJobs({ database: data.database, clock, ids, log });
  const builds = composeBuilds(settings, data, features, { jobs, certificates: { caPem: '' }, measure: () => {} });
  opened.defer(() => builds.queue.close());
  const tasks = composeTasks(settings, data, features, { ...builds, jobs });
  const arm = createArm({
    ...data,
    ...features,
    ...data.installation,
    jobs,
    builds,
    domain: settings.domain,
    loginServerOf: (label) => loginServerOf(settings, label),
    defaultRegistryName,
    locationNames: settings.locations,
    transfer: transferOf(settings),
  });
  const metrics = createMetrics({ droppedLogLines: () => 0 });
  const parts = { ...features, arm, builds, tasks, measure: () => {}, auditArchive: undefined };
  const app: Hono<Env> = composeApp(settings, data, parts, metrics, () => false, undefined);
  const { tenantUid } = data.installation;

  const person = async (
    name: string,
    { kind = 'servicePrincipal', isOwner = false }: Partial<Pick<SignedIn['principal'], 'kind' | 'isOwner'>> = {},
  ): Promise<MountedPerson> => {
    if (kind === 'anonymous') throw new Error('a stranger is nobody');
    const uid = ids.uid();
    const credentialUid = ids.uid();
    await data.database.transaction(async (tx) => {
      const common = { tenantUid, kind, registryUid: undefined, isOwner } as const;
      await insertPrincipal(tx, { ...common, uid, loginName: name, displayName: name }, 0);
      const verifier = hashSecret(secret);
      await insertSecret(tx, uid, { uid: credentialUid, name: 'clientSecret', verifier, sealed: undefined }, 0);
    });
    const principal = { kind, uid, name, isOwner, registryUid: undefined };
    const who: SignedIn = { principal, credentialUid, loginName: name, clientId: ids.guid(), proof: 'secret' };
    return {
      objectId: objectIdOf(uid),
      header: basic(name, secret),
      bearer: async (resource) => `Bearer ${(await features.tenantTokens.issueAccess(who, resource)).token}`,
    };
  };
  const ask = async (
    method: string,
    path: string,
    { authorization, body }: { readonly authorization?: string; readonly body?: unknown } = {},
  ): Promise<Response> => {
    const headers = new Headers({ host: 'localhost:5000' });
    if (authorization !== undefined) headers.set('authorization', authorization);
    if (body !== undefined) headers.set('content-type', 'application/json');
    const init = body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
    return await app.fetch(new Request(`${origin}${path}`, init));
  };
  return { app, data, features, builds, person, ask, close: () => opened.disposeAsync() };
}
