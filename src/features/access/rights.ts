import { repositoryActions } from '../../core/scope.ts';
import type { Principal } from '../identity/principal.ts';
import type { Registry } from '../registries/registry.ts';
import type { Action, Grant, Rights } from './decision.ts';

const everyAction: readonly Action[] = [...repositoryActions, 'connect', 'catalogList', 'administer'];
const wholeRegistry: readonly Action[] = [...repositoryActions, 'connect', 'catalogList'];
/** Source: ACR semantics, "Anonymous pull": reads of all repositories, listing them included. */
const anonymousReading: readonly Action[] = ['connect', 'pull', 'metadata_read', 'catalogList'];

/** What a principal was given on a registry. */
export function rightsOf(principal: Principal, registry: Registry): Rights {
  return { principal, grants: [...ownGrants(principal), ...anonymousGrants(registry)] };
}

/** Whoever has signed in may say so; roles come on top of it. */
function ownGrants({ kind, isOwner, registryUid }: Principal): readonly Grant[] {
  if (kind === 'anonymous') return [];
  if (registryUid !== undefined) {
    const actions: readonly Action[] = kind === 'registryAdmin' ? wholeRegistry : ['connect'];
    return [{ by: 'account of the registry', actions, at: { kind: 'registry', registryUid } }];
  }
  const actions: readonly Action[] = isOwner ? everyAction : ['connect'];
  return [{ by: isOwner ? 'owner of the installation' : 'having signed in', actions, at: { kind: 'installation' } }];
}

function anonymousGrants({ isAnonymousPullEnabled, uid }: Registry): readonly Grant[] {
  return isAnonymousPullEnabled
    ? [{ by: 'anonymous pull', actions: anonymousReading, at: { kind: 'registry', registryUid: uid } }]
    : [];
}
