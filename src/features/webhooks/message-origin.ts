import type { Database } from '../../platform/database/database.ts';
import type { Directory } from '../registries/directory.ts';
import { findByUid } from '../resources/resource-store.ts';
import type { MessageOrigin } from './webhook-message.ts';

/** What messages say of the registry they are about; undefined when it is gone. */
export async function originOf(
  { database, directory }: { readonly database: Database; readonly directory: Pick<Directory, 'byUid'> },
  registryUid: string,
): Promise<MessageOrigin | undefined> {
  const registry = directory.byUid(registryUid);
  if (registry === undefined) return undefined;
  const resource = await findByUid(database.read, registryUid);
  const { loginServer } = registry;
  return { loginServer, resourceId: resource?.id ?? registry.name, location: resource?.location ?? '' };
}
