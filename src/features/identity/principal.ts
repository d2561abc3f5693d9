/** Who asks. `uid` is what journal, uploads and audit keep; `name` what a person reads. */
export type Principal = {
  readonly kind: 'anonymous' | 'user' | 'servicePrincipal' | 'managedIdentity' | 'registryAdmin' | 'repositoryToken';
  readonly uid: string;
  readonly name: string;
  /** Full rights over the installation. */
  readonly isOwner: boolean;
  /** Set for principals that live inside one registry. */
  readonly registryUid: string | undefined;
};

/** Everyone who did not sign in: one principal for all of them. */
export const anonymous: Principal = {
  kind: 'anonymous',
  uid: 'anonymous',
  name: 'anonymous',
  isOwner: false,
  registryUid: undefined,
};
