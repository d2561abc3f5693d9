import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import { tagsSchema } from '../../wire/arm/resource-schema.ts';
import { type ArmCall, bodyOf, preconditionsOf, withoutNulls } from './arm-call.ts';
import type { ArmParts } from './arm-routes.ts';

const suffix = ['providers', 'microsoft.resources', 'tags', 'default'];

const requestSchema = z.object({
  operation: z.enum(['Merge', 'Replace', 'Delete']).default('Replace'),
  properties: z.object({ tags: tagsSchema.default({}) }).prefault({}),
});
type Request = z.infer<typeof requestSchema>;

/** The segments of the tagged thing; undefined for an address that is not about tags. */
export function taggedSegments(segments: readonly string[]): readonly string[] | undefined {
  const end = segments.slice(-suffix.length).map((each) => each.toLowerCase());
  return end.join('/') === suffix.join('/') ? segments.slice(0, -suffix.length) : undefined;
}

/** The tags of a group or resource as a thing of their own: `az tag`. Source: Microsoft.Resources/tags. */
export async function answerTags(parts: ArmParts, call: ArmCall, tagged: readonly string[]): Promise<Response> {
  const { c } = call;
  const id = `/${tagged.join('/')}`;
  if (tagged.length <= 2) throw refuse('resourceInvalid', { message: 'A subscription has no tags here.', target: id });
  const resource = await findResource(parts.database.read, parts.tenantUid, id);
  if (resource === undefined) throw missing(id);
  switch (c.req.method) {
    case 'GET':
      return c.json(view(resource));
    case 'PUT':
    case 'PATCH': {
      const body = parseProperties(requestSchema, withoutNulls(await bodyOf(c, parts.transfer)), '');
      return c.json(view(await write(parts, call, resource, body)));
    }
    case 'DELETE':
      await write(parts, call, resource, { operation: 'Replace', properties: { tags: {} } });
      return c.body(null, 200);
    default:
      throw new BerthError('unsupported');
  }
}

async function write(parts: ArmParts, call: ArmCall, resource: Resource, request: Request): Promise<Resource> {
  const type = parts.types.find(resource.type);
  if (type?.hasLocation !== true) throw refuse('resourceInvalid', { message: `'${resource.type}' has no tags.` });
  const { resource: written } = await parts.resources.write({
    ...preconditionsOf(call.c),
    type,
    name: resource,
    author: call.author,
    desire: (existing) => {
      if (existing === undefined) throw missing(resource.id);
      const tags = parseProperties(tagsSchema, changed(existing.tags, request), 'properties.tags');
      return { ...existing, tags };
    },
  });
  return written;
}

function changed(tags: Resource['tags'], { operation, properties }: Request): Record<string, string> {
  switch (operation) {
    case 'Replace':
      return properties.tags;
    case 'Merge':
      return { ...tags, ...properties.tags };
    case 'Delete':
      return Object.fromEntries(Object.entries(tags).filter(([name, value]) => properties.tags[name] !== value));
  }
}

function view({ id, tags }: Resource) {
  return {
    id: `${id}/providers/Microsoft.Resources/tags/default`,
    name: 'default',
    type: 'Microsoft.Resources/tags',
    properties: { tags },
  };
}
