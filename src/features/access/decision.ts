import type { RepositoryName } from '../../core/repository-name.ts';
import type { RepositoryAction } from '../../core/scope.ts';

export type { Principal } from '../identity/principal.ts';

/**
 * `connect`: be someone at all, which `GET /v2/` asks; `catalogList`: list the registry's repositories;
 * `administer`: change the installation.
 */
export type Action = RepositoryAction | 'connect' | 'catalogList' | 'administer';

/** What is acted on: one repository, one registry, or the installation. */
export type Scope =
  | { readonly kind: 'repository'; readonly registryUid: string; readonly repository: RepositoryName }
  | { readonly kind: 'registry'; readonly registryUid: string }
  | { readonly kind: 'installation' };

export type Circumstances = {
  /** The client's address after trusted proxies. */
  readonly address: string;
  readonly surface: 'oci' | 'acr' | 'token' | 'admin';
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
  | { readonly kind: 'some'; readonly names: readonly string[]; readonly prefixes: readonly string[] }
  | { readonly kind: 'none' };
