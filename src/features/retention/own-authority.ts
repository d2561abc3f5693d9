import type { Authority } from '../access/authority.ts';

/**
 * The authority of work that a registry does by itself, by a policy that somebody with the right set: `name` is what events
 * say it was. It holds whatever rights change meanwhile.
 */
export function ownAuthority(name: string): Authority {
  return {
    principal: { kind: 'servicePrincipal', uid: name, name, isOwner: false, registryUid: undefined },
    epoch: () => Number.MAX_SAFE_INTEGER,
    confirm: async () => {},
    allows: () => true,
    requireToken: () => {},
    visible: () => ({ kind: 'all' }),
  };
}
