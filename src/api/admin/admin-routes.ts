import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Authorize } from '../../features/access/access.ts';
import {
  type AdminAccountParts,
  regenerateAdminPassword,
  showAdminCredentials,
} from '../../features/identity/admin-account.ts';
import type { Principal } from '../../features/identity/principal.ts';
import type { Directory } from '../../features/registries/directory.ts';
import type { Registries } from '../../features/registries/registries.ts';
import type { Registry } from '../../features/registries/registry.ts';
import { unenforcedOf } from '../../features/registries/unenforced.ts';
import { findByUid } from '../../features/resources/resource-store.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { type CredentialView, credentialRenewSchema } from '../../wire/admin/credential-schema.ts';
import { type RegistryView, registryCreateSchema, registryUpdateSchema } from '../../wire/admin/registry-schema.ts';
import type { UnenforcedView } from '../../wire/admin/unenforced-schema.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';

export type AdminParts = AdminAccountParts & {
  readonly authorize: Authorize;
  readonly database: Database;
  readonly journal: Journal;
  readonly directory: Directory;
  readonly registries: Registries;
  readonly transfer: TransferLimits;
};

const maxBodyBytes = 1024 * 1024;

type Handler = (c: Context<Env>, by: Principal) => Promise<Response>;

/** The admin API: what `berth` commands call. Owners only; each route is decided as `administer`. */
export function adminRoutes(parts: AdminParts): Hono<Env> {
  const { registries, directory } = parts;
  const asOwner = (handle: Handler) => async (c: Context<Env>) => await handle(c, await decide(parts, c));
  const named = async (c: Context<Env>): Promise<Registry> => {
    const registry = directory.byName(c.req.param('name') ?? '');
    if (registry === undefined) throw new BerthError('registryUnknown', { name: c.req.param('name') ?? '' });
    return registry;
  };
  const credential = async (c: Context<Env>, registry: Registry): Promise<Response> => {
    const { userName, passwords } = await showAdminCredentials(parts, parts.database.read, registry.uid);
    const view: CredentialView = { username: userName, passwords: [...passwords] };
    return c.json(view, 200, { 'Cache-Control': 'no-store' });
  };

  const routes = new Hono<Env>();
  routes.get(
    '/admin/registries',
    asOwner(async (c) => c.json({ registries: directory.list().map(viewOf) })),
  );
  routes.post(
    '/admin/registries',
    asOwner(async (c, by) => {
      const { name, sku } = await bodyOf(parts, c, registryCreateSchema);
      const request = { name, sku, isAdminEnabled: false, isAnonymousPullEnabled: false, actor: by.uid };
      return c.json(viewOf(await registries.create(request)), 201);
    }),
  );
  routes.get(
    '/admin/registries/:name',
    asOwner(async (c) => c.json(viewOf(await named(c)))),
  );
  routes.patch(
    '/admin/registries/:name',
    asOwner(async (c, by) => {
      const update = await bodyOf(parts, c, registryUpdateSchema);
      let registry = await named(c);
      const change = { registryUid: registry.uid, actor: by.uid };
      if (update.adminUserEnabled !== undefined) {
        registry = await registries.setAdminEnabled({ ...change, isOn: update.adminUserEnabled });
      }
      if (update.anonymousPullEnabled !== undefined) {
        registry = await registries.setAnonymousPull({ ...change, isOn: update.anonymousPullEnabled });
      }
      return c.json(viewOf(registry));
    }),
  );
  routes.get(
    '/admin/registries/:name/credential',
    asOwner(async (c) => await credential(c, await named(c))),
  );
  routes.post(
    '/admin/registries/:name/credential/renew',
    asOwner(async (c, by) => {
      const { name } = await bodyOf(parts, c, credentialRenewSchema);
      const registry = await named(c);
      const { uid: registryUid, tenantUid } = registry;
      await regenerateAdminPassword(parts, parts.journal, { tenantUid, registryUid, name, actor: by.uid });
      return await credential(c, registry);
    }),
  );
  routes.get(
    '/admin/unenforced',
    asOwner(async (c) => c.json(await unenforcedIn(parts))),
  );
  return routes;
}

async function unenforcedIn({ directory, database }: AdminParts): Promise<UnenforcedView> {
  const registries: UnenforcedView['registries'] = [];
  for (const { uid, name } of directory.list()) {
    const resource = await findByUid(database.read, uid);
    const settings = resource === undefined ? [] : unenforcedOf(resource);
    if (settings.length > 0)
      registries.push({ name, settings: settings.map(({ setting, until }) => ({ setting, until })) });
  }
  return { registries };
}

/** Reads the newest access epoch first, so that the directory is not older than the request. */
async function decide({ authorize }: AdminParts, c: Context<Env>): Promise<Principal> {
  const { registry, address, correlationId, userAgent } = c.var.call;
  const { principal } = await authorize({
    registry,
    authorization: c.req.header('authorization'),
    action: 'administer',
    circumstances: { address, surface: 'admin', correlationId, userAgent },
  });
  return principal;
}

/** Throws `bodyTooLarge` and `requestInvalid`. */
async function bodyOf<T>({ transfer }: AdminParts, c: Context<Env>, schema: z.ZodType<T>): Promise<T> {
  const bytes = await bytesIn(bodyIn(c, transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  const result = schema.safeParse(parseJson(new TextDecoder().decode(bytes)));
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => ({ field: path.join('.'), message }));
  throw new BerthError('requestInvalid', problems);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses it and says what is expected.
    return undefined;
  }
}

function viewOf(registry: Registry): RegistryView {
  return {
    name: registry.name,
    loginServer: registry.loginServer,
    sku: registry.sku,
    adminUserEnabled: registry.isAdminEnabled,
    anonymousPullEnabled: registry.isAnonymousPullEnabled,
  };
}
