import { parseReference } from '../../core/reference.ts';
import type { ContentUsageView, RegistryUsageView } from '../../wire/acr/usage-schema.ts';
import type { AcrRequest, AtContent, InRegistry, InRepository } from './acr-route.ts';
import { headOf } from './views.ts';

/** Bytes in use in the registry, and how many it may use. */
export async function registryUsageGet({ c, parts, authority, at }: AcrRequest<InRegistry>): Promise<Response> {
  const { registry } = c.get('call');
  const { usedBytes, limitBytes } = await parts.usageReports.registry(at.registryUid, authority);
  const limit = limitBytes === undefined ? {} : { limitBytes };
  return c.json({ registry: registry.loginServer, usedBytes, ...limit } satisfies RegistryUsageView);
}

/** What a repository references, shares, and holds alone: the last is what deleting it would free. */
export async function usageGet({ c, parts, authority, at }: AcrRequest<InRepository>): Promise<Response> {
  const usage = await parts.usageReports.repository(at.place, authority);
  return c.json({ ...headOf(c.get('call').registry, at.place), ...usage } satisfies ContentUsageView);
}

/** The same of one manifest, by tag or digest. */
export async function contentUsageGet({ c, parts, authority, at }: AcrRequest<AtContent>): Promise<Response> {
  const usage = await parts.usageReports.content(at.place, authority, parseReference(at.rest));
  const head = { ...headOf(c.get('call').registry, at.place), reference: at.rest };
  return c.json({ ...head, ...usage } satisfies ContentUsageView);
}
