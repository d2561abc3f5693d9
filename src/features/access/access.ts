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
 * Throws `unauthorized` (no, wrong or expired credentials, or a token whose scope lacks the action: a new token can help),
 * `denied` (signed in, and not allowed) or `tooManyAttempts`.
 */
export type Authorize = (request: AccessRequest) => Promise<Authority>;
