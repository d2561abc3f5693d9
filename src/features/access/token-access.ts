import { isRepositoryName } from '../../core/repository-name.ts';
import { type AccessScope, type RepositoryAction, repositoryActions } from '../../core/scope.ts';
import type { Registry } from '../registries/registry.ts';
import {
  type Action,
  type Circumstances,
  decide,
  isVisible,
  type Rights,
  type Scope,
  type SomeRepositories,
  type Visible,
  visible,
} from './decision.ts';

/** Spelled so by old command lines. Source: ACR semantics, "Token flow". */
const oldSpellings: ReadonlyMap<string, RepositoryAction> = new Map([
  ['metadataRead', 'metadata_read'],
  ['metadataWrite', 'metadata_write'],
]);

/** What a scope of the registry itself asks for. */
const catalogActions: ReadonlyMap<string, 'catalogList' | 'deletedCatalogList'> = new Map([
  ['catalog', 'catalogList'],
  ['deleted_catalog', 'deletedCatalogList'],
]);

/** How a refresh token names what its holder may do. Source: sample tokens of ACR. */
const permissionNames: Readonly<Record<RepositoryAction, string>> = {
  pull: 'read',
  push: 'write',
  delete: 'delete',
  metadata_read: 'metadata/read',
  metadata_write: 'metadata/write',
  deleted_read: 'deleted/read',
  deleted_restore: 'deleted/restore/action',
  quarantine_read: 'quarantine/read',
  quarantine_write: 'quarantine/write',
};

export type AskedAccess = {
  readonly rights: Rights;
  readonly asked: readonly AccessScope[];
  readonly registry: Pick<Registry, 'uid' | 'permissionMode'>;
  /** What the credentials are limited to, if they are. */
  readonly limits: readonly AccessScope[] | undefined;
  readonly circumstances: Circumstances;
};

/**
 * The part of what was asked that the rights allow, with every action by its name; scopes left empty are left out. A name
 * such as `*` or `samples/*` holds what is allowed on everything below, but in a registry whose rights go by repository.
 */
export function grantedAccess({ rights, asked, registry, limits, circumstances }: AskedAccess): AccessScope[] {
  const { uid: registryUid } = registry;
  const isAllowed = (action: Action, scope: Scope) => decide(rights, action, scope, circumstances).kind === 'allowed';
  return asked.flatMap((each): AccessScope[] => {
    if (each.type === 'registry') {
      const action = catalogActions.get(each.name);
      const isGranted =
        action !== undefined &&
        each.actions.includes('*') &&
        (limits === undefined || tokenHolds(limits, action, undefined)) &&
        isAllowed(action, { kind: 'registry', registryUid });
      return isGranted ? [{ type: 'registry', name: each.name, actions: ['*'] }] : [];
    }
    const { name } = each;
    const prefix = prefixOf(name);
    const isWildcardRefused = prefix !== undefined && registry.permissionMode === 'AbacRepositoryPermissions';
    if (isWildcardRefused || (prefix === undefined && !isRepositoryName(name))) return [];
    const within = namedActions(each.actions).filter(
      (action) => limits === undefined || coversName(limits, action, name),
    );
    const actions = within.filter((action) =>
      prefix === undefined
        ? isRepositoryName(name) && isAllowed(action, { kind: 'repository', registryUid, repository: name })
        : coversPrefix(visible(rights, action, registryUid), prefix),
    );
    return actions.length === 0 ? [] : [{ type: 'repository', name, actions }];
  });
}

/** What someone may do in at least one repository, in the words of refresh tokens. */
export function permittedActions(rights: Rights, registryUid: string): string[] {
  return repositoryActions
    .filter((action) => visible(rights, action, registryUid).kind !== 'none')
    .map((action) => permissionNames[action]);
}

/** Whether a token's access holds an action; `connect` needs none of it, and no token administers. */
export function tokenHolds(access: readonly AccessScope[], action: Action, repository: string | undefined): boolean {
  if (action === 'connect') return true;
  if (action === 'administer') return false;
  if (action === 'catalogList' || action === 'deletedCatalogList')
    return access.some(
      ({ type, name, actions }) => type === 'registry' && catalogActions.get(name) === action && actions.includes('*'),
    );
  return access.some(
    (each) => each.type === 'repository' && isNamed(each.name, repository ?? '') && each.actions.includes(action),
  );
}

/** Of the repositories that the rights allow those that a token's access names for the action. */
export function heldAmong(allowed: Visible, access: readonly AccessScope[], action: RepositoryAction): Visible {
  if (allowed.kind === 'none') return allowed;
  const held = access.flatMap(({ type, name, actions }) =>
    type === 'repository' && actions.includes(action) ? [name] : [],
  );
  const below = held.flatMap((name) => prefixOf(name) ?? []);
  if (below.includes('')) return allowed;
  const plain = held.filter((name) => prefixOf(name) === undefined && isVisible(allowed, name));
  if (allowed.kind === 'all') return someOf({ names: plain, prefixes: below });
  const names = allowed.names.filter((name) => below.some((prefix) => name.startsWith(prefix)));
  const prefixes = [
    ...below.filter((prefix) => allowed.prefixes.some((each) => prefix.startsWith(each))),
    ...allowed.prefixes.filter((prefix) => below.some((each) => prefix.startsWith(each))),
  ];
  return someOf({ ...allowed, names: [...new Set([...plain, ...names])], prefixes: [...new Set(prefixes)] });
}

function someOf(some: Omit<SomeRepositories, 'registryUid'>): Visible {
  return some.names.length + some.prefixes.length === 0 ? { kind: 'none' } : { ...some, kind: 'some' };
}

/** The empty text for `*`, `samples/` for `samples/*`; undefined for any other name. */
function prefixOf(name: string): string | undefined {
  if (name === '*') return '';
  const above = name.endsWith('/*') ? name.slice(0, -2) : undefined;
  return above !== undefined && isRepositoryName(above) ? `${above}/` : undefined;
}

/** Whether some of this access names the action on everything that a name, or a prefix with `*`, stands for. */
function coversName(access: readonly AccessScope[], action: RepositoryAction, name: string): boolean {
  const prefix = prefixOf(name);
  return access.some((each) => {
    if (each.type !== 'repository' || !each.actions.includes(action)) return false;
    const above = prefixOf(each.name);
    return prefix === undefined ? isNamed(each.name, name) : above !== undefined && prefix.startsWith(above);
  });
}

function coversPrefix(where: Visible, prefix: string): boolean {
  if (where.kind !== 'some') return where.kind === 'all';
  return where.matches === undefined && where.prefixes.some((each) => prefix.startsWith(each));
}

function isNamed(name: string, repository: string): boolean {
  if (name === repository) return true;
  const prefix = prefixOf(name);
  return prefix !== undefined && repository.startsWith(prefix);
}

function namedActions(actions: readonly string[]): readonly RepositoryAction[] {
  if (actions.includes('*')) return repositoryActions;
  const named = actions.map((action) => oldSpellings.get(action) ?? action);
  return repositoryActions.filter((action) => named.includes(action));
}
