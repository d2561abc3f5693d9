import { scopeMapArmType } from '../../src/api/arm/scope-map-type.ts';
import { repositoryTokenArmType } from '../../src/api/arm/token-type.ts';
import { generatePasswords, type PasswordsRequest } from '../../src/features/access/repository-token-passwords.ts';
import type { Removal } from '../../src/features/resources/removal.ts';
import { Removals } from '../../src/features/resources/removal.ts';
import type { Author, Resource } from '../../src/features/resources/resource.ts';
import { childName } from '../../src/features/resources/resource-names.ts';
import { findByUid } from '../../src/features/resources/resource-store.ts';
import { resourceTypes } from '../../src/features/resources/resource-type.ts';
import { Resources } from '../../src/features/resources/resources.ts';
import type { Clock } from '../../src/platform/clock.ts';
import type { Database } from '../../src/platform/database/database.ts';
import type { Journal } from '../../src/platform/journal/journal.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import type { JsonObject } from '../../src/wire/arm/json.ts';

const author: Author = { uid: 'owner', name: 'Olivia', kind: 'User' };

type Parts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly tenantUid: string;
  readonly registryUid: string;
};

/** For tests: scope maps and repository tokens of one registry, written as the control plane writes them. */
export async function sampleRepositoryTokens(parts: Parts) {
  const { database, tenantUid } = parts;
  const registry = await findByUid(database.read, parts.registryUid);
  if (registry === undefined) throw new Error('the sample has this registry');
  const types = { maps: scopeMapArmType(parts), tokens: repositoryTokenArmType(parts) };
  const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
  const engine = { ...parts, ids, log, jobs: { add: async () => {} } };
  const resources = new Resources(engine);
  const removals = new Removals({ ...engine, types: resourceTypes(Object.values(types)) });
  const named = (kind: keyof typeof types, name: string) => childName(registry, types[kind].type, name);
  const write = async (kind: keyof typeof types, name: string, properties: JsonObject): Promise<Resource> => {
    const desired = { location: undefined, tags: {}, sku: undefined, identity: undefined, properties };
    const { resource } = await resources.write({
      type: types[kind],
      name: named(kind, name),
      author,
      desire: () => desired,
    });
    return resource;
  };
  const generate = async (token: string, request: Partial<PasswordsRequest> = {}): Promise<string[]> => {
    const made = await generatePasswords(engine, {
      registry,
      tokenId: named('tokens', token).id,
      names: ['password1', 'password2'],
      expiresAtMicros: undefined,
      author,
      ...request,
    });
    return made.passwords.map(({ value }) => value);
  };
  return {
    registry,
    types,
    write,
    /** Both passwords. */
    generate,
    map: (name: string, ...actions: readonly string[]) =>
      write('maps', name, { actions: actions.map((action) => `repositories/${action}`) }),
    token: (name: string, scopeMap: string, status: 'enabled' | 'disabled' = 'enabled') =>
      write('tokens', name, { scopeMapId: `${registry.id}/scopeMaps/${scopeMap}`, status }),
    remove: async (kind: keyof typeof types, name: string): Promise<Removal['kind']> =>
      (await removals.begin({ id: named(kind, name).id, author })).kind,
    epoch: async () =>
      (
        await database.read
          .selectFrom('tenants')
          .where('uid', '=', tenantUid)
          .select('access_epoch')
          .executeTakeFirstOrThrow()
      ).access_epoch,
  };
}
