import { Hono } from 'hono';
import type { RepositoryTemplates } from '../../features/content/repository-templates.ts';
import {
  type RepositoryTemplatesView,
  repositoryTemplatesSetSchema,
} from '../../wire/admin/repository-template-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type RepositoryTemplateRouteParts = AdminCallParts & { readonly repositoryTemplates: RepositoryTemplates };

/** What new repositories of a registry begin with. */
export function repositoryTemplateRoutes(parts: RepositoryTemplateRouteParts): Hono<Env> {
  const { repositoryTemplates } = parts;
  const routes = new Hono<Env>();
  const show = async (registryUid: string): Promise<RepositoryTemplatesView> => ({
    templates: [...(await repositoryTemplates.list(registryUid))],
  });
  routes.get(
    '/admin/registries/:name/repository-templates',
    asOwner(parts, async (c) => c.json(await show(registryNamed(parts, c).uid))),
  );
  routes.put(
    '/admin/registries/:name/repository-templates',
    asOwner(parts, async (c, by) => {
      const { uid: registryUid, tenantUid } = registryNamed(parts, c);
      const change = await bodyOf(parts, c, repositoryTemplatesSetSchema);
      await repositoryTemplates.replace({ ...change, registryUid, tenantUid, actor: by.uid });
      return c.json(await show(registryUid));
    }),
  );
  return routes;
}
