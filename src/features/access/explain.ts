import { BerthError } from '../../core/errors.ts';
import { parseReference, type Reference } from '../../core/reference.ts';
import { isRepositoryName } from '../../core/repository-name.ts';
import type { Database } from '../../platform/database/database.ts';
import { anonymous, type Principal } from '../identity/principal.ts';
import type { Directory } from '../registries/directory.ts';
import type { PermissionMode, Registry } from '../registries/registry.ts';
import { type Action, decide, type Grant, type Scope } from './decision.ts';
import { refusingLock } from './explain-locks.ts';
import { findExplained, hasGoodSecret } from './explain-principals.ts';
import type { FindHindrances, Hindrance } from './hindrances.ts';
import { admits } from './network-rules.ts';
import type { RightsSource } from './rights-source.ts';
import { builtInRoles } from './role-built-ins.ts';
import { contentActions, contentActionsOf } from './role-content.ts';
import { OperationRights } from './role-operations.ts';
import { permits } from './role-permission.ts';
import { isWithinScope } from './role-scope.ts';
import { type HeldRole, loadHeldRoles } from './role-store.ts';

export type ExplainParts = {
  readonly database: Database;
  readonly directory: Directory;
  readonly rightsSource: RightsSource;
  readonly hindrances: FindHindrances;
  readonly tenantUid: string;
};

export type Question = {
  /** Object id, application id, user name, name of a repository token or of an admin account, or `anonymous`. */
  readonly principal: string;
  /** `pull` and the like on content, or an operation such as `Microsoft.ContainerRegistry/registries/write`. */
  readonly action: string;
  /** `contoso`, `contoso/team/app`, with `:tag` or `@digest` behind it, on content; an ARM id for operations. */
  readonly scope: string;
  /** Where the request would come from; network rules are left out without it. */
  readonly address: string | undefined;
};

/** Something that was looked at, what it gives on this scope, and why it gives no more. */
export type Considered = { readonly by: string; readonly gives: readonly string[]; readonly note: string | undefined };

export type Explanation = {
  readonly principal: Principal;
  readonly isAllowed: boolean;
  /** What allows it: an assignment with its id, a scope map, being an owner. */
  readonly by: string | undefined;
  /** Why it is denied, and what would change that. */
  readonly reason: string | undefined;
  readonly remedy: string | undefined;
  readonly considered: readonly Considered[];
};

/**
 * Decides as a request would be decided, and says by what. Throws `directoryObjectUnknown`, `registryUnknown`, `requestInvalid`.
 */
export type Explain = (question: Question) => Promise<Explanation>;

export function createExplain(parts: ExplainParts): Explain {
  return async (question) => {
    await parts.directory.refresh();
    if (question.action.includes('/')) return await explainOperation(parts, question);
    return await explainContent(parts, question);
  };
}

async function explainOperation(parts: ExplainParts, question: Question): Promise<Explanation> {
  const { action, scope } = question;
  if (!scope.startsWith('/')) throw invalid('scope', 'an operation is asked about at an id such as /subscriptions/...');
  const found = await principalOf(parts, question, undefined);
  const { roles } = await rolesOf(parts, found.principal);
  const decision = new OperationRights(found.principal, found.isEnabled ? roles : []).decide(action, scope);
  const considered = roles.map((held) => consideredAt(held, action, scope));
  if (decision.kind === 'allowed' && found.isEnabled) {
    const lock = await refusingLock(parts.database.read, parts.tenantUid, action, scope);
    return lock === undefined
      ? allowed(found.principal, decision.by, considered)
      : denied(found, considered, { reason: lock, remedy: 'Remove it with az lock delete; no role passes a lock.' });
  }
  const givers = builtInRoles.filter((role) => permits(role.permissions, 'action', action));
  return denied(found, considered, {
    reason: `nothing gives ${found.principal.name} ${action} at ${scope}`,
    remedy: `Assign a role that gives it at this scope or above: ${namesOf(givers)}.`,
  });
}

function consideredAt(held: HeldRole, operation: string, scope: string): Considered {
  const isGiving = permits(held.role.permissions, 'action', operation);
  const isHere = isWithinScope(scope.toLowerCase(), held.scopeKey);
  const notes = [
    ...(isHere ? [] : [`assigned at ${held.scopeKey}, which this scope is not in`]),
    ...(isGiving ? [] : ['the role does not have this action']),
    ...(held.condition === undefined ? [] : ['within its condition']),
  ];
  return { by: labelOf(held), gives: isGiving && isHere ? [operation] : [], note: notes.join('; ') || undefined };
}

async function explainContent(parts: ExplainParts, question: Question): Promise<Explanation> {
  const action = contentAction(question.action);
  const { registry, repository, reference } = placeOf(parts, question.scope);
  const found = await principalOf(parts, question, registry);
  const { principal } = found;
  const { rights } = await parts.rightsSource.of(principal, registry, parts.directory.epoch());
  const { roles } = await rolesOf(parts, principal);
  const considered = [
    ...merged(rights.grants.map(consideredGrant)),
    ...roles.flatMap((held) => withoutEffect(held, registry)),
    ...(question.address === undefined ? unaskedNetwork(registry) : []),
  ];
  if (
    question.address !== undefined &&
    !admits(registry.network, { address: question.address, isTrustedService: false })
  )
    return denied(found, considered, {
      reason: `the network rules of ${registry.name} do not admit ${question.address}`,
      remedy: 'Add its address to the rules: az acr network-rule add.',
    });
  if (found.isEnabled && (await lacksPassword(parts, principal)))
    return denied(found, considered, {
      reason: `the token ${principal.name} has no password that is good now`,
      remedy: 'Make one: az acr token credential generate.',
    });
  const surface = action === 'administer' ? 'admin' : 'oci';
  const from = { address: question.address ?? '', surface, correlationId: '', userAgent: undefined } as const;
  const scope = scopeOf(action, registry.uid, repository);
  const decision = decide(rights, action, scope, from);
  if (decision.kind === 'allowed' && found.isEnabled) {
    const hindrances =
      scope.kind === 'repository'
        ? await parts.hindrances({ registry, repository: scope.repository, reference, action })
        : [];
    const all = [...considered, ...hindrances.map(consideredHindrance)];
    const certain = hindrances.find(({ isCertain }) => isCertain);
    return certain === undefined ? allowed(principal, decision.by, all) : denied(found, all, certain);
  }
  const reason = `nothing gives ${principal.name} ${action} on ${question.scope}`;
  return denied(found, considered, { reason, remedy: contentRemedy(principal, action, registry) });
}

function unaskedNetwork({ name, network }: Registry): readonly Considered[] {
  if (network.isPublic && network.defaultAction === 'Allow') return [];
  const note = 'they do not admit everybody: ask with the address of the client';
  return [{ by: `network rules of ${name}`, gives: [], note }];
}

function consideredGrant({ by, actions, at }: Grant): Considered {
  const where = at.kind === 'repositories' ? [...at.names, ...at.prefixes.map((each) => `${each}*`)].join(', ') : '';
  const rest = at.kind === 'repositories' && at.matches !== undefined ? ', of these what its condition leaves' : '';
  return { by, gives: actions, note: where === '' ? undefined : `on ${where}${rest}` };
}

function consideredHindrance({ by, reason }: Hindrance): Considered {
  return { by, gives: [], note: reason };
}

/** What one thing gives at one place is one line. */
function merged(all: readonly Considered[]): readonly Considered[] {
  const groups = Map.groupBy(all, ({ by, note }) => JSON.stringify([by, note]));
  return [...groups.values()].flatMap(([first, ...rest]) =>
    first === undefined ? [] : [{ ...first, gives: [first, ...rest].flatMap(({ gives }) => gives) }],
  );
}

/** Roles that a person would expect to count, and why they do not. */
function withoutEffect(held: HeldRole, registry: Registry): readonly Considered[] {
  const by = labelOf(held);
  if (!isWithinScope(registry.resourceKey, held.scopeKey))
    return [{ by, gives: [], note: `assigned at ${held.scopeKey}, which ${registry.name} is not in` }];
  if (contentActionsOf(held.role.permissions, registry.permissionMode).length > 0) return [];
  const isOfOtherMode = contentActionsOf(held.role.permissions, otherMode(registry.permissionMode)).length > 0;
  const note = isOfOtherMode
    ? `the registry is in the mode ${registry.permissionMode}, where this role gives nothing on content`
    : 'the role gives nothing on content';
  return [{ by, gives: [], note }];
}

function contentRemedy({ kind }: Principal, action: Action, { permissionMode, name }: Registry): string {
  if (action === 'administer') return 'Only owners of the installation have this.';
  if (kind === 'anonymous')
    return `Sign in, or turn on anonymous pull: az acr update -n ${name} --anonymous-pull-enabled.`;
  if (kind === 'repositoryToken') return 'Add the action to the scope map of the token: az acr scope-map update.';
  const wanted = contentActions.find((each) => each === action);
  if (wanted === undefined) return 'Sign in: whoever has signed in has this.';
  const givers = builtInRoles.filter((role) => contentActionsOf(role.permissions, permissionMode).includes(wanted));
  return `Assign a role that gives it to this registry in the mode ${permissionMode}: ${namesOf(givers)}.`;
}

async function lacksPassword({ database }: ExplainParts, { kind, uid }: Principal): Promise<boolean> {
  return kind === 'repositoryToken' && !(await hasGoodSecret(database.read, uid, await database.nowMicros()));
}

type Asked = {
  readonly registry: Registry;
  readonly repository: string | undefined;
  readonly reference: Reference | undefined;
};

type Found = Awaited<ReturnType<typeof findExplained>>;

async function principalOf(
  { database, tenantUid }: ExplainParts,
  { principal: text }: Question,
  registry: Registry | undefined,
): Promise<NonNullable<Found>> {
  if (text.toLowerCase() === 'anonymous') return { principal: anonymous, isEnabled: true };
  const found = await findExplained(database.read, { tenantUid, registryUid: registry?.uid, text });
  if (found === undefined) throw new BerthError('directoryObjectUnknown', { principal: text });
  return found;
}

async function rolesOf({ database, tenantUid }: ExplainParts, { kind, uid }: Principal) {
  return kind === 'anonymous' ? { roles: [] } : await loadHeldRoles(database.read, tenantUid, uid);
}

/** `contoso`, `contoso/team/app:v1`, or the ARM id of a registry with or without `/repositories/team/app`. */
function placeOf({ directory }: ExplainParts, scope: string): Asked {
  const [, id, below] = /^(\/subscriptions\/.*\/registries\/[^/]+)(?:\/repositories\/(.+))?$/i.exec(scope) ?? [];
  const slash = scope.indexOf('/');
  const name = slash < 0 ? scope : scope.slice(0, slash);
  const registry =
    id === undefined ? directory.byName(name) : directory.list().find((each) => each.resourceKey === id.toLowerCase());
  if (registry === undefined) throw new BerthError('registryUnknown', { name: id ?? name });
  const image = id === undefined ? (slash < 0 ? undefined : scope.slice(slash + 1)) : below;
  // A tag before a digest says nothing, as clients take it.
  const [, repository, tag, digest] = /^([^:@]*)(?::([^@]*))?(?:@(.*))?$/.exec(image ?? '') ?? [];
  const reference = digest ?? tag;
  return {
    registry,
    repository: image === undefined ? undefined : (repository ?? image),
    reference: reference === undefined ? undefined : parseReference(reference),
  };
}

function contentAction(text: string): Action {
  const known: readonly Action[] = [...contentActions, 'connect', 'administer'];
  const found = known.find((each) => each === text);
  if (found === undefined)
    throw invalid(
      'action',
      `one of ${known.join(', ')}, or an operation such as Microsoft.ContainerRegistry/registries/read`,
    );
  return found;
}

function scopeOf(action: Action, registryUid: string, repository: string | undefined): Scope {
  if (action === 'administer') return { kind: 'installation' };
  const isOnRegistry = action === 'connect' || action === 'catalogList' || action === 'deletedCatalogList';
  if (isOnRegistry || repository === undefined) return { kind: 'registry', registryUid };
  if (!isRepositoryName(repository)) throw invalid('scope', 'the name of a repository, behind that of its registry');
  return { kind: 'repository', registryUid, repository };
}

function otherMode(mode: PermissionMode): PermissionMode {
  return mode === 'LegacyRegistryPermissions' ? 'AbacRepositoryPermissions' : 'LegacyRegistryPermissions';
}

function labelOf({ role, assignmentId }: HeldRole): string {
  return `role '${role.name}' by ${assignmentId}`;
}

function namesOf(roles: readonly { readonly name: string }[]): string {
  return roles.length === 0 ? 'a custom role with this action' : roles.map(({ name }) => name).join(', ');
}

function allowed(principal: Principal, by: string, considered: readonly Considered[]): Explanation {
  return { principal, isAllowed: true, by, reason: undefined, remedy: undefined, considered };
}

function denied(
  { principal, isEnabled }: NonNullable<Found>,
  considered: readonly Considered[],
  why: { readonly reason: string; readonly remedy: string },
): Explanation {
  const shown = isEnabled ? why : { reason: `${principal.name} is disabled`, remedy: 'Enable it.' };
  return { principal, isAllowed: false, by: undefined, ...shown, considered };
}

function invalid(field: string, message: string): BerthError {
  return new BerthError('requestInvalid', [{ field, message }]);
}
