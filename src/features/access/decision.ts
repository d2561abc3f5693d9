import type { RepositoryName } from '../../core/repository-name.ts';
import type { RepositoryAction } from '../../core/scope.ts';

/** Who asks. `uid` is what journal, uploads and audit keep; `name` what a person reads. */
export type Principal = {
  readonly kind: 'anonymous' | 'registryAdmin' | 'user' | 'servicePrincipal';
  readonly uid: string;
  readonly name: string;
  /** Full rights over the installation. */
  readonly isOwner: boolean;
  /** Set for principals that live inside one registry. */
  readonly registryUid: string | undefined;
};

/** `catalogList`: list the registry's repositories. `administer`: change the installation. */
export type Action = RepositoryAction | 'catalogList' | 'administer';

/** What is acted on: one repository, one registry, or the installation. */
export type Scope =
  | { readonly kind: 'repository'; readonly registryUid: string; readonly repository: RepositoryName }
  | { readonly kind: 'registry'; readonly registryUid: string }
  | { readonly kind: 'installation' };

export type Circumstances = {
  /** The client's address after trusted proxies. */
  readonly address: string;
  readonly surface: 'oci' | 'acr' | 'token' | 'admin';
};

export type Decision =
  | { readonly kind: 'allowed'; readonly by: string }
  | { readonly kind: 'denied'; readonly reason: string; readonly missing: Action };

/** Which repositories of a registry list queries may show: the same rules as `decide`, in a form that goes into SQL. */
export type Visible =
  | { readonly kind: 'all' }
  | { readonly kind: 'some'; readonly names: readonly string[]; readonly prefixes: readonly string[] }
  | { readonly kind: 'none' };
