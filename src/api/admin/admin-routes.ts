import { type Context, Hono } from 'hono';
import {
  type AdminAccountParts,
  regenerateAdminPassword,
  showAdminCredentials,
} from '../../features/identity/admin-account.ts';
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
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type AdminParts = AdminAccountParts &
  AdminCallParts & {
    readonly database: Database;
    readonly journal: Journal;
    readonly registries: Registries;
  };

/** The admin API: what `berth` commands call. Owners only; each route is decided as `administer`. */
export function adminRoutes(parts: AdminParts): Hono<Env> {
  const { registries, directory } = parts;
  const owner = (handle: Parameters<typeof asOwner>[1]) => asOwner(parts, handle);
  const named = (c: Context<Env>) => registryNamed(parts, c);
  const credential = async (c: Context<Env>, registry: Registry): Promise<Response> => {
    const { userName, passwords } = await showAdminCredentials(parts, parts.database.read, registry.uid);
    const view: CredentialView = { username: userName, passwords: [...passwords] };
    return c.json(view, 200, { 'Cache-Control': 'no-store' });
  };

  const routes = new Hono<Env>();
  routes.get(
    '/admin/registries',
    owner(async (c) => c.json({ registries: directory.list().map(viewOf) })),
  );
  routes.post(
    '/admin/registries',
    owner(async (c, by) => {
      const { name, sku } = await bodyOf(parts, c, registryCreateSchema);
      const request = { name, sku, isAdminEnabled: false, isAnonymousPullEnabled: false, actor: by.uid };
      return c.json(viewOf(await registries.create(request)), 201);
    }),
  );
  routes.get(
    '/admin/registries/:name',
    owner(async (c) => c.json(viewOf(named(c)))),
  );
  routes.patch(
    '/admin/registries/:name',
    owner(async (c, by) => {
      const update = await bodyOf(parts, c, registryUpdateSchema);
      let registry = named(c);
      const change = { registryUid: registry.uid, actor: by.uid };
      if (update.adminUserEnabled !== undefined) {
        registry = await registries.setAdminEnabled({ ...change, isOn: update.adminUserEnabled });
      }
      if (update.anonymousPullEnabled !== undefined) {
        registry = await registries.setAnonymousPull({ ...change, isOn: update.anonymousPullEnabled });
      }
      const { throttlingEnabled: isThrottled, storageLimitBytes } = update;
      if (isThrottled !== undefined || storageLimitBytes !== undefined) {
        const limits = {
          ...(isThrottled === undefined ? {} : { isThrottled }),
          ...(storageLimitBytes === undefined ? {} : { storageLimitBytes }),
        };
        registry = await registries.setLimits({ ...change, ...limits });
      }
      return c.json(viewOf(registry));
    }),
  );
  routes.get(
    '/admin/registries/:name/credential',
    owner(async (c) => await credential(c, named(c))),
  );
  routes.post(
    '/admin/registries/:name/credential/renew',
    owner(async (c, by) => {
      const { name } = await bodyOf(parts, c, credentialRenewSchema);
      const registry = named(c);
      const { uid: registryUid, tenantUid } = registry;
      await regenerateAdminPassword(parts, parts.journal, { tenantUid, registryUid, name, actor: by.uid });
      return await credential(c, registry);
    }),
  );
  routes.get(
    '/admin/unenforced',
    owner(async (c) => c.json(await unenforcedIn(parts))),
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

function viewOf(registry: Registry): RegistryView {
  return {
    name: registry.name,
    loginServer: registry.loginServer,
    sku: registry.sku,
    adminUserEnabled: registry.isAdminEnabled,
    anonymousPullEnabled: registry.isAnonymousPullEnabled,
    throttlingEnabled: registry.isThrottled,
    storageLimitBytes: registry.storageLimitBytes ?? null,
  };
}
