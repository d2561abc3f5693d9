import { isRepositoryName } from '../../core/repository-name.ts';
import { type AccessScope, type RepositoryAction, repositoryActions } from '../../core/scope.ts';
import { type Action, type Circumstances, decide, type Rights, type Scope } from './decision.ts';

/** Spelled so by old command lines. Source: ACR semantics, "Token flow". */
const oldSpellings: ReadonlyMap<string, RepositoryAction> = new Map([
  ['metadataRead', 'metadata_read'],
  ['metadataWrite', 'metadata_write'],
]);

/** The part of what was asked that the rights allow, with every action by its name; scopes left empty are left out. */
export function grantedAccess(
  rights: Rights,
  asked: readonly AccessScope[],
  registryUid: string,
  circumstances: Circumstances,
): AccessScope[] {
  const isAllowed = (action: Action, scope: Scope) => decide(rights, action, scope, circumstances).kind === 'allowed';
  return asked.flatMap((each): AccessScope[] => {
    if (each.type === 'registry') {
      const isGranted = isCatalog(each) && isAllowed('catalogList', { kind: 'registry', registryUid });
      return isGranted ? [{ type: 'registry', name: 'catalog', actions: ['*'] }] : [];
    }
    const { name } = each;
    if (!isRepositoryName(name)) return [];
    const scope: Scope = { kind: 'repository', registryUid, repository: name };
    const actions = namedActions(each.actions).filter((action) => isAllowed(action, scope));
    return actions.length === 0 ? [] : [{ type: 'repository', name, actions }];
  });
}

/** Whether a token's access holds an action; `connect` needs none of it, and no token administers. */
export function tokenHolds(access: readonly AccessScope[], action: Action, repository: string | undefined): boolean {
  if (action === 'connect') return true;
  if (action === 'administer') return false;
  if (action === 'catalogList') return access.some(isCatalog);
  return access.some((each) => each.type === 'repository' && each.name === repository && each.actions.includes(action));
}

function isCatalog(scope: AccessScope): boolean {
  return scope.type === 'registry' && scope.name === 'catalog' && scope.actions.includes('*');
}

function namedActions(actions: readonly string[]): readonly RepositoryAction[] {
  if (actions.includes('*')) return repositoryActions;
  const named = actions.map((action) => oldSpellings.get(action) ?? action);
  return repositoryActions.filter((action) => named.includes(action));
}
