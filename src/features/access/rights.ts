import { repositoryActions } from '../../core/scope.ts';
import type { Principal } from '../identity/principal.ts';
import type { Registry } from '../registries/registry.ts';
import type { Action, Grant, Place } from './decision.ts';

const wholeRegistry: readonly Action[] = [...repositoryActions, 'connect', 'catalogList', 'deletedCatalogList'];
const everyAction: readonly Action[] = [...wholeRegistry, 'administer'];
/** Source: ACR semantics, "Anonymous pull": reads of all repositories, listing them included. */
const anonymousReading: readonly Action[] = ['connect', 'pull', 'metadata_read', 'catalogList'];

/** What a principal has on a registry by being who it is, before any role or scope map. */
export function inherentGrants(principal: Principal, registry: Registry): readonly Grant[] {
  return [...ownGrants(principal), ...anonymousGrants(registry)];
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

function anonymousGrants({ isAnonymousPullEnabled, anonymousRepositories, uid }: Registry): readonly Grant[] {
  if (!isAnonymousPullEnabled) return [];
  const by = 'anonymous pull';
  const whole: Place = { kind: 'registry', registryUid: uid };
  if (anonymousRepositories.length === 0) return [{ by, actions: anonymousReading, at: whole }];
  return [
    { by, actions: ['connect'], at: whole },
    { by, actions: anonymousReading, at: { kind: 'repositories', registryUid: uid, ...named(anonymousRepositories) } },
  ];
}

/** Names, and `prefix/*` for everything below; `*` alone is everything. */
function named(patterns: readonly string[]): {
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
} {
  return {
    names: patterns.filter((each) => !each.endsWith('*')),
    prefixes: patterns.filter((each) => each.endsWith('*')).map((each) => each.slice(0, -1)),
  };
}
