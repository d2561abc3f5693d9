import { Hono } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { KeyPurpose } from '../../features/identity/signing-key-store.ts';
import type { ListedSigningKey, SigningKeys } from '../../features/identity/signing-keys.ts';
import { keyRotateSchema, type SigningKeyId, type SigningKeyView } from '../../wire/admin/signing-key-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf } from './admin-call.ts';

export type SigningKeyParts = AdminCallParts & {
  readonly signingKeys: readonly Pick<SigningKeys, 'purpose' | 'list' | 'rotate' | 'revoke'>[];
};

/** The keys that sign tokens: seeing them, replacing one early, and ending one that got into wrong hands. */
export function signingKeyRoutes(parts: SigningKeyParts): Hono<Env> {
  const { signingKeys } = parts;
  const routes = new Hono<Env>();
  routes.get(
    '/admin/keys',
    asOwner(parts, async (c) => {
      const listed = await Promise.all(
        signingKeys.map(async (keys) => (await keys.list()).map((key) => viewOf(keys.purpose, key))),
      );
      return c.json({ keys: listed.flat() });
    }),
  );
  routes.post(
    '/admin/keys',
    asOwner(parts, async (c, by) => {
      const { purpose } = await bodyOf(parts, c, keyRotateSchema);
      const keys = signingKeys.find((each) => each.purpose === purpose);
      if (keys === undefined) throw new Error(`nothing signs with keys of the purpose ${purpose}`);
      const answer: SigningKeyId = { id: await keys.rotate(by.uid), purpose };
      return c.json(answer, 201);
    }),
  );
  routes.delete(
    '/admin/keys/:id',
    asOwner(parts, async (c, by) => {
      const id = c.req.param('id') ?? '';
      for (const keys of signingKeys) {
        const answer: SigningKeyId = { id, purpose: keys.purpose };
        if (await keys.revoke(id, by.uid)) return c.json(answer);
      }
      throw new BerthError('signingKeyUnknown', id.slice(0, 100));
    }),
  );
  return routes;
}

function viewOf(purpose: KeyPurpose, key: ListedSigningKey): SigningKeyView {
  return {
    id: key.kid,
    purpose,
    signs: key.isSigning,
    createdAt: timeOf(key.createdAtMicros),
    retiresAt: timeOf(key.retiresAtMicros),
    expiresAt: timeOf(key.expiresAtMicros),
  };
}

function timeOf(micros: number): string {
  return new Date(micros / 1_000).toISOString();
}
