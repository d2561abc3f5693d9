import type { RepositoryName } from '../../core/repository-name.ts';
import type { Registry } from '../registries/registry.ts';
import type { Authority } from './authority.ts';
import type { Action, Circumstances } from './decision.ts';

export type AccessRequest = {
  readonly registry: Registry;
  /** The Authorization header as sent: Basic, Bearer (a token of ours), or none. */
  readonly authorization: string | undefined;
  readonly action: Action;
  /** Set for actions on one repository. */
  readonly repository?: RepositoryName;
  readonly circumstances: Circumstances;
};

/**
 * Signs the caller in and decides. Needs no query while credentials and epoch are known from before.
 * `connect` and `administer` read the epoch first: nothing after them does.
 * Throws `unauthorized` (no credentials), `credentialsWrong` (wrong or expired ones), `insufficientScope` (a token of ours that does not hold the
 * action: a new one can help), `denied` (signed in, and not allowed) or `tooManyAttempts`. The first three carry a detail
 * of `{ Type, Name, Action }` entries, one per missing action and none for `connect`: the challenge's scope is made of them.
 */
export type Authorize = (request: AccessRequest) => Promise<Authority>;
