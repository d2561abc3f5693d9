import { Hono } from 'hono';
import type { Binding, IdentityBindings } from '../../features/identity/identity-bindings.ts';
import { type IdentityBindingView, identityBindSchema } from '../../wire/admin/identity-binding-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf } from './admin-call.ts';

export type IdentityBindingParts = AdminCallParts & {
  readonly identityBindings: Pick<IdentityBindings, 'add' | 'list' | 'remove'>;
};

/** Which machines are given tokens of which managed identity. */
export function identityBindingRoutes(parts: IdentityBindingParts): Hono<Env> {
  const { identityBindings } = parts;
  const routes = new Hono<Env>();
  routes.get(
    '/admin/identity-bindings',
    asOwner(parts, async (c) => c.json({ bindings: (await identityBindings.list()).map((each) => viewOf(each)) })),
  );
  routes.post(
    '/admin/identity-bindings',
    asOwner(parts, async (c, by) => {
      const { identity, address: network } = await bodyOf(parts, c, identityBindSchema);
      const { binding, secret } = await identityBindings.add({ identity, network, actor: by.uid });
      return c.json(viewOf(binding, secret), 201, { 'Cache-Control': 'no-store' });
    }),
  );
  routes.delete(
    '/admin/identity-bindings/:id',
    asOwner(parts, async (c, by) => {
      const id = c.req.param('id') ?? '';
      await identityBindings.remove(id, by.uid);
      return c.json({ id });
    }),
  );
  return routes;
}

function viewOf({ uid, identity, to, createdAtMicros }: Binding, secret?: string): IdentityBindingView {
  const { name, clientId, resourceId } = identity;
  return {
    id: uid,
    identity: { name, clientId, resourceId },
    ...(to.kind === 'address' ? { address: to.network } : { hint: to.hint }),
    createdAt: new Date(createdAtMicros / 1_000).toISOString(),
    ...(secret === undefined ? {} : { secret }),
  };
}
