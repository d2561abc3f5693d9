import { BerthError } from '../../core/errors.ts';
import type { Database } from '../../platform/database/database.ts';
import { applicationPropertiesSchema } from './application.ts';

/** A program that signs people in. */
export type Client = {
  /** GUID in lower case. */
  readonly clientId: string;
  /** What the sign-in page calls it. */
  readonly name: string;
  /** Where it may have its codes sent; any port of this machine where a URI names none. */
  readonly redirectUris: readonly string[];
};

const thisMachine = ['http://localhost', 'http://127.0.0.1', 'http://[::1]'];

/** Programs everybody has. Source: Microsoft's list of first-party applications. */
const wellKnown: ReadonlyMap<string, string> = new Map([
  ['04b07795-8ddb-461a-bbee-02f9e1bf7b46', 'Azure CLI'],
  ['1950a258-227b-4e31-a9cf-717495945fc2', 'Azure PowerShell'],
  ['872cd9fa-d31f-45e0-9eab-6e460a02d1f1', 'Visual Studio'],
  ['aebc6443-996d-45c2-90f0-388ff96faa56', 'Visual Studio Code'],
]);

export type FindClient = (clientId: string) => Promise<Client>;

/** Knows the programs everybody has and the tenant's applications. The answer throws `clientUnknown`. */
export function createFindClient(database: Database, tenantUid: string): FindClient {
  return async (text) => {
    const clientId = text.toLowerCase();
    const name = wellKnown.get(clientId);
    if (name !== undefined) return { clientId, name, redirectUris: thisMachine };
    const row = await database.read
      .selectFrom('applications')
      .where('app_id', '=', clientId)
      .where('tenant_uid', '=', tenantUid)
      .select(['display_name', 'properties'])
      .executeTakeFirst();
    if (row === undefined) throw new BerthError('clientUnknown');
    const { web, spa, publicClient } = applicationPropertiesSchema.parse(JSON.parse(row.properties));
    const redirectUris = [web, spa, publicClient].flatMap((platform) => platform?.redirectUris ?? []);
    return { clientId, name: row.display_name, redirectUris };
  };
}

/** Exactly one that is registered; on this machine with any port. Source: RFC 6749 section 3.1.2.3, RFC 8252 section 7.3. */
export function isRedirectOf({ redirectUris }: Client, redirectUri: string): boolean {
  if (redirectUris.includes(redirectUri)) return true;
  if (!URL.canParse(redirectUri)) return false;
  const url = new URL(redirectUri);
  if (!thisMachine.includes(`http://${url.hostname}`) || url.protocol !== 'http:') return false;
  if (url.username !== '' || url.password !== '' || url.hash !== '') return false;
  url.port = '';
  return redirectUris.some((registered) => URL.canParse(registered) && samePlace(new URL(registered), url));
}

/** Clients append a slash, or a path of their own where only the host was registered. */
function samePlace(registered: URL, asked: URL): boolean {
  registered.port = '';
  return registered.origin === asked.origin && (registered.pathname === '/' || registered.pathname === asked.pathname);
}
