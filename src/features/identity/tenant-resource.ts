/** What a token of the tenant opens: the control plane, the directory, or registries. */
export type TenantResource = 'resourceManager' | 'graph' | 'registry';

/** `aud` of the tokens, whatever name of the resource was asked for: the names that scripts and SDKs have in them. */
export const resourceAudiences: Readonly<Record<TenantResource, string>> = {
  resourceManager: 'https://management.core.windows.net/',
  graph: 'https://graph.microsoft.com',
  registry: 'https://containerregistry.azure.net',
};

/** Application ids by which clients name the same resources. Source: Microsoft's list of first-party applications. */
const resourceOfName: ReadonlyMap<string, TenantResource> = new Map([
  ['https://management.core.windows.net', 'resourceManager'],
  ['https://management.azure.com', 'resourceManager'],
  ['797f4846-ba00-4fd7-ba43-dac1f8f63013', 'resourceManager'],
  ['https://graph.microsoft.com', 'graph'],
  ['00000003-0000-0000-c000-000000000000', 'graph'],
  ['https://containerregistry.azure.net', 'registry'],
]);

const protocolScopes = ['openid', 'profile', 'email', 'offline_access'];

/** What a client asks for with its scopes. */
export type AskedScopes = {
  readonly resource: TenantResource;
  readonly wantsIdToken: boolean;
};

/**
 * Reads `scope` of a token request: scopes of one resource, and those of OpenID Connect. Clients put `/.default` behind the
 * name as they have it, so slashes double. `isOurName` knows the host names of the control plane; Graph is below `/graph`
 * there. Undefined when a scope belongs to nothing here, or to several resources. Without a resource it is Graph.
 */
export function parseScopes(scope: string, isOurName: (hostName: string) => boolean): AskedScopes | undefined {
  const words = scope.split(/\s+/).filter((word) => word !== '');
  const own = words.filter((word) => !protocolScopes.includes(word.toLowerCase()));
  const resources = new Set(own.map((word) => resourceOfScope(word, isOurName)));
  const [resource = 'graph', ...others] = resources;
  if (others.length > 0 || resources.has(undefined)) return undefined;
  return { resource, wantsIdToken: words.some((word) => word.toLowerCase() === 'openid') };
}

/** The resource of a name such as `https://management.azure.com/`; undefined for a name of nothing here. */
export function parseResource(name: string, isOurName: (hostName: string) => boolean): TenantResource | undefined {
  const text = withoutSlashes(name.toLowerCase());
  const known = resourceOfName.get(text);
  if (known !== undefined) return known;
  if (!URL.canParse(text)) return undefined;
  const { protocol, hostname, pathname } = new URL(text);
  if (!/^https?:$/.test(protocol) || !isOurName(hostname)) return undefined;
  if (pathname === '/') return 'resourceManager';
  return pathname === '/graph' ? 'graph' : undefined;
}

/** A bare word such as `User.Read` is a scope of Graph. */
function resourceOfScope(scope: string, isOurName: (hostName: string) => boolean): TenantResource | undefined {
  if (/^[\w.-]+$/.test(scope) && !resourceOfName.has(scope.toLowerCase())) return 'graph';
  const slash = scope.lastIndexOf('/');
  return parseResource(slash < 0 ? scope : scope.slice(0, slash), isOurName);
}

function withoutSlashes(text: string): string {
  let end = text.length;
  while (text[end - 1] === '/') end -= 1;
  return text.slice(0, end);
}
