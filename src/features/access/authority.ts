import type { RepositoryAction } from '../../core/scope.ts';
import type { Circumstances, Principal, Visible } from './decision.ts';

/**
 * The right to do one thing, decided at an access epoch (house plan, idea 5). Content operations compare the tenant's
 * current epoch, which comes with the row they read anyway, and call `confirm` when it is newer: a revoked right ends with
 * the next request, at no extra query.
 */
export type Authority = {
  readonly principal: Principal;
  /** The request it was decided for; work that no request asked for has none. */
  readonly circumstances?: Circumstances;
  /** The access epoch this was decided at; `confirm` moves it. */
  readonly epoch: () => number;
  /** Nothing when the epoch is the one decided at; else decides again and throws `unauthorized` or `denied`. */
  readonly confirm: (currentEpoch: number) => Promise<void>;
  /** Whether the same caller may do something else, such as pull from the source of a mount. Decided at the same epoch. */
  readonly allows: (action: 'pull' | 'push' | 'delete', repository: string) => boolean;
  /**
   * Throws `insufficientScope`, naming both this request's access and that of `repository`, where the caller may act there
   * but came with a token that does not say so: a client then asks for a wider one. Nothing where it may not at all.
   */
  readonly requireToken: (action: 'pull' | 'quarantine_write', repository: string) => void;
  /**
   * The repositories of this registry on which the caller may do that; without an action those that the list of repositories
   * shows. What a token does not hold is left out.
   */
  readonly visible: (action?: RepositoryAction) => Visible;
};

/** The same authority, as long as something else holds too: `also` runs with each new decision, and throws when it does not. */
export function confirmedWith(authority: Authority, also: (currentEpoch: number) => Promise<void>): Authority {
  const { principal, circumstances } = authority;
  return {
    principal,
    ...(circumstances && { circumstances }),
    epoch: () => authority.epoch(),
    confirm: async (currentEpoch) => {
      await also(currentEpoch);
      await authority.confirm(currentEpoch);
    },
    allows: (action, repository) => authority.allows(action, repository),
    requireToken: (action, repository) => authority.requireToken(action, repository),
    visible: (action) => authority.visible(action),
  };
}
