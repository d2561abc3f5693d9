import { Hono } from 'hono';
import { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { Explain, Explanation } from '../../features/access/explain.ts';
import { objectIdOf } from '../../features/identity/object-id.ts';
import { anonymous } from '../../features/identity/principal.ts';
import type { AccessExplanationView } from '../../wire/admin/access-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner } from './admin-call.ts';

export type AccessRouteParts = AdminCallParts & { readonly explain: Explain };

const text = z.string().min(1).max(1_000);
const questionSchema = z.object({ principal: text, action: text, scope: text, address: text.optional() });

/** Why somebody may or may not do something. */
export function accessRoutes(parts: AccessRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.get(
    '/admin/access/explain',
    asOwner(parts, async (c) => {
      const asked = questionSchema.safeParse(c.req.query());
      if (!asked.success) throw invalid(asked.error);
      const { address, ...question } = asked.data;
      return c.json(viewOf(await parts.explain({ ...question, address })));
    }),
  );
  return routes;
}

function viewOf({ principal, isAllowed, by, reason, remedy, considered }: Explanation): AccessExplanationView {
  const { kind, name, uid } = principal;
  return {
    principal: { kind, name, ...(uid === anonymous.uid ? {} : { objectId: objectIdOf(uid) }) },
    allowed: isAllowed,
    ...(by === undefined ? {} : { by }),
    ...(reason === undefined ? {} : { reason }),
    ...(remedy === undefined ? {} : { remedy }),
    considered: considered.map(({ note, gives, ...each }) => ({
      ...each,
      gives: [...gives],
      ...(note === undefined ? {} : { note }),
    })),
  };
}

function invalid({ issues }: z.ZodError): BerthError {
  return new BerthError(
    'requestInvalid',
    issues.map(({ path, message }) => ({ field: path.join('.'), message })),
  );
}
