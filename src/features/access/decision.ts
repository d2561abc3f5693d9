import type { RepositoryName } from '../../core/repository-name.ts';
import type { RepositoryAction } from '../../core/scope.ts';
import type { Principal } from '../identity/principal.ts';

export type { Principal } from '../identity/principal.ts';

/**
 * `connect`: be someone at all, which `GET /v2/` asks; `catalogList`: list the registry's repositories;
 * `deletedCatalogList`: list those that keep something deleted; `quarantine_read`, `quarantine_write`: see and release what is
 * held back; `administer`: change the installation.
 */
export type Action = RepositoryAction | 'connect' | 'catalogList' | 'deletedCatalogList' | 'administer';

/** What is acted on: one repository, one registry, or the installation. */
export type Scope =
  | { readonly kind: 'repository'; readonly registryUid: string; readonly repository: RepositoryName }
  | { readonly kind: 'registry'; readonly registryUid: string }
  | { readonly kind: 'installation' };

export type Circumstances = {
  /** The client's address after trusted proxies. */
  readonly address: string;
  readonly surface: 'oci' | 'acr' | 'token' | 'admin' | 'arm';
  /** These two for the access log. */
  readonly correlationId: string;
  readonly userAgent: string | undefined;
};

export type Decision =
  | { readonly kind: 'allowed'; readonly by: string }
  | { readonly kind: 'denied'; readonly reason: string; readonly missing: Action };

/** Which repositories of a registry list queries may show: the same rules as `decide`, in a form that goes into SQL. */
export type Visible =
  | { readonly kind: 'all' }
  | ({ readonly kind: 'some' } & Omit<SomeRepositories, 'registryUid'>)
  | { readonly kind: 'none' };

/** One reason why a principal may do something. */
export type Grant = {
  /** What gives it, as an explanation names it. */
  readonly by: string;
  readonly actions: readonly Action[];
  readonly at: Place;
};

/** Where a grant holds, with everything inside: the installation, one registry, or some of its repositories. */
export type Place = Exclude<Scope, { kind: 'repository' }> | ({ readonly kind: 'repositories' } & SomeRepositories);

export type SomeRepositories = {
  readonly registryUid: string;
  readonly names: readonly string[];
  /** With the slash at the end; the empty text is every repository. */
  readonly prefixes: readonly string[];
  /** Which of these it really is, where names and prefixes cannot say it: asked of each name that a query found. */
  readonly matches?: (repository: string) => boolean;
};

/** A principal with everything it was given. */
export type Rights = { readonly principal: Principal; readonly grants: readonly Grant[] };

/** The one decision: allowed by the first grant that holds the action where it is asked, denied without one. */
export function decide(rights: Rights, action: Action, scope: Scope, circumstances: Circumstances): Decision {
  if (action === 'administer' && !['admin', 'arm'].includes(circumstances.surface))
    return {
      kind: 'denied',
      reason: 'the installation is administered through its own surfaces only',
      missing: action,
    };
  const grant = rights.grants.find(
    (each) => each.actions.includes(action) && (holdsAt(each, scope) || isPartOfCatalog(each, action, scope)),
  );
  if (grant !== undefined) return { kind: 'allowed', by: grant.by };
  return { kind: 'denied', reason: `nothing gives ${rights.principal.name} this action here`, missing: action };
}

/** For reading and listing: on which repositories of one registry the action is allowed. */
export function visible(rights: Rights, action: RepositoryAction | 'catalogList', registryUid: string): Visible {
  const grants = rights.grants.filter((each) => each.actions.includes(action));
  if (grants.some((each) => holdsAt(each, { kind: 'registry', registryUid }))) return { kind: 'all' };
  const places = grants.flatMap(({ at }) => (at.kind === 'repositories' && at.registryUid === registryUid ? [at] : []));
  const names = unique(places.flatMap((place) => place.names));
  const prefixes = unique(places.flatMap((place) => place.prefixes));
  if (places.some((place) => place.matches === undefined && place.prefixes.includes(''))) return { kind: 'all' };
  if (names.length + prefixes.length === 0) return { kind: 'none' };
  if (places.every((place) => place.matches === undefined)) return { kind: 'some', names, prefixes };
  return { kind: 'some', names, prefixes, matches: (name) => places.some((place) => isAmong(place, name)) };
}

/** Whether one repository is among those. */
export function isVisible(among: Visible, repository: string): boolean {
  if (among.kind !== 'some') return among.kind === 'all';
  return isAmong(among, repository);
}

function holdsAt({ at }: Grant, scope: Scope): boolean {
  if (at.kind === 'installation') return true;
  if (scope.kind === 'installation' || scope.registryUid !== at.registryUid) return false;
  return at.kind === 'registry' || (scope.kind === 'repository' && isAmong(at, scope.repository));
}

/** Whoever may list some repositories may ask for the list: it shows those. */
function isPartOfCatalog({ at }: Grant, action: Action, scope: Scope): boolean {
  return (
    action === 'catalogList' &&
    at.kind === 'repositories' &&
    scope.kind === 'registry' &&
    at.registryUid === scope.registryUid
  );
}

function isAmong({ names, prefixes, matches }: Omit<SomeRepositories, 'registryUid'>, repository: string): boolean {
  const isNamed = names.includes(repository) || prefixes.some((prefix) => repository.startsWith(prefix));
  return isNamed && (matches === undefined || matches(repository));
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
