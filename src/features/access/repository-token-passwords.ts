import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { hashSecret } from '../../platform/keys/secret-hash.ts';
import { type KeptPassword, type TokenPasswordName, tokenPasswordNames } from '../../wire/arm/token-schema.ts';
import { raiseAccessEpoch } from '../identity/access-epoch.ts';
import { newSecret } from '../identity/new-secret.ts';
import { insertSecret } from '../identity/principal-store.ts';
import { plainJson } from '../registries/registry-rules.ts';
import { refuseLocked } from '../resources/locks.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { tellResource } from '../resources/resource-events.ts';
import { findForUpdate, updateResource } from '../resources/resource-store.ts';
import { missing } from '../resources/resources.ts';
import { repositoryTokenType, storedTokenOf } from './repository-token.ts';

export type GeneratePasswordsParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly ids: Ids;
};

export type PasswordsRequest = {
  readonly registry: Resource;
  /** ARM id. */
  readonly tokenId: string;
  readonly names: readonly TokenPasswordName[];
  /** Microseconds; undefined for passwords that stay good. */
  readonly expiresAtMicros: number | undefined;
  readonly author: Author;
};

/** Shown this once: only a hash is kept. */
export type GeneratedPassword = KeptPassword & { readonly value: string };

/** How a password's row is named; the admin account has the same two places. */
export function secretNameOf(name: TokenPasswordName): 'password' | 'password2' {
  return name === 'password1' ? 'password' : 'password2';
}

/**
 * Makes new passwords of a token in place of those of the same names; what was signed in with those, tokens included, ends
 * with its next request. Throws `resourceUnknown`, `resourceInvalid`, `scopeLocked`.
 */
export async function generatePasswords(
  { database, journal, clock, ids }: GeneratePasswordsParts,
  { registry, tokenId, names, expiresAtMicros, author }: PasswordsRequest,
): Promise<{ readonly username: string; readonly passwords: readonly GeneratedPassword[] }> {
  const nowMicros = clock.nowMicros();
  if (expiresAtMicros !== undefined && expiresAtMicros <= nowMicros)
    throw refuse('resourceInvalid', { message: 'The expiry of a password has to be in the future.', target: 'expiry' });
  const generated = names.map((name) => ({
    name,
    value: newSecret(ids),
    creationTime: isoTime(nowMicros),
    expiry: expiresAtMicros === undefined ? null : isoTime(expiresAtMicros),
  }));
  return await journal.transaction(async (tx, append) => {
    const token = await findForUpdate(database.kind, tx, registry.tenantUid, tokenId);
    if (token === undefined || !isTokenOf(registry, token)) throw missing(tokenId);
    await refuseLocked(tx, registry.tenantUid, token, 'write');
    await raiseAccessEpoch(tx, registry.tenantUid);
    const rowNames = names.map(secretNameOf);
    await tx.deleteFrom('secrets').where('principal_uid', '=', token.uid).where('name', 'in', rowNames).execute();
    for (const { name, value } of generated) {
      const secret = { uid: ids.uid(), name: secretNameOf(name), verifier: hashSecret(value), sealed: undefined };
      const ends = expiresAtMicros === undefined ? {} : { expiresAtMicros };
      await insertSecret(tx, token.uid, { ...secret, ...ends }, nowMicros);
    }
    const changed: Resource = {
      ...token,
      properties: withPasswords(token, generated),
      etag: ids.guid(),
      changedAtMicros: nowMicros,
      changedBy: author,
    };
    await updateResource(tx, changed);
    tellResource(append, 'resource.updated', changed);
    return { username: token.name, passwords: generated };
  });
}

function isTokenOf(registry: Resource, token: Resource): boolean {
  const isToken = token.type === repositoryTokenType && token.state === 'Succeeded';
  return isToken && token.parentId.toLowerCase() === registry.id.toLowerCase();
}

function withPasswords(token: Resource, generated: readonly GeneratedPassword[]) {
  const stored = storedTokenOf(token);
  const before = stored.credentials.passwords.filter((each) => generated.every(({ name }) => name !== each.name));
  const now = generated.map(({ name, creationTime, expiry }) => ({ name, creationTime, expiry }));
  const passwords = tokenPasswordNames.flatMap((name) => [...before, ...now].filter((each) => each.name === name));
  return plainJson({ ...stored, credentials: { ...stored.credentials, passwords } });
}

function isoTime(micros: number): string {
  return new Date(micros / 1_000).toISOString();
}
