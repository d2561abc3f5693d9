import { isJsonObject } from '../../../wire/arm/json.ts';
import type { TaskStep } from '../../../wire/arm/task-schema.ts';
import type { NamedValue, RunWork } from '../../../wire/builds/run-work.ts';
import { uidOfObjectId } from '../../identity/object-id.ts';
import { refuse } from '../../resources/refuse.ts';
import type { Author, Resource } from '../../resources/resource.ts';
import { customRegistryOf } from '../custom-registry.ts';
import { isUploadPath } from '../quick-run.ts';
import type { CustomRegistry, NewRun, RunAuthority, RunTrigger, TaskIdentity, VaultAccess } from '../run.ts';
import { contextOf, isOfSameRepository, isSameOrigin, type StoredTask, stepAuthorOf } from './task.ts';

/** What one run has otherwise than its task says. Source: ACR tasks, 4.5. */
export type TaskOverrides = {
  readonly contextPath?: string | undefined;
  readonly file?: string | undefined;
  readonly target?: string | undefined;
  readonly arguments?: readonly NamedValue[] | undefined;
  readonly values?: readonly NamedValue[] | undefined;
  readonly updateTriggerToken?: string | undefined;
  readonly agentPoolName?: string | undefined;
  readonly isArchiveEnabled?: boolean | undefined;
  readonly logTemplate?: string | undefined;
};

export type TaskRunOf = {
  readonly registryUid: string;
  readonly resource: Resource;
  /** With its secrets. */
  readonly task: StoredTask;
  readonly trigger: RunTrigger;
  /** Whether rights go by repository: a task then has none but those that it asks for. */
  readonly isByRepository: boolean;
  /** Who asked for the run; absent where a trigger did. */
  readonly caller?: Author;
  readonly overrides?: TaskOverrides;
  readonly key?: string;
};

/** Cores of a run whose task names no number. Source: ACR tasks, 3.1. */
const defaultCpus = 2;

/** The run that a task makes. Throws `resourceInvalid` for a task without steps. */
export function newTaskRun(asked: TaskRunOf): NewRun {
  const { registryUid, resource, task, trigger, overrides = {}, key } = asked;
  const { step, platform, agentConfiguration, timeout } = task;
  if (!step)
    throw refuse('resourceInvalid', {
      message: `The task '${resource.name}' has no step, so it cannot be run. Give it one with az acr task update.`,
      target: resource.id,
    });
  const context = contextAsked(task, overrides);
  const work = workOf(context.hasSecrets ? step : withoutSecretValues(step), overrides);
  const agentPoolName = overrides.agentPoolName ?? task.agentPoolName ?? undefined;
  const logTemplate = overrides.logTemplate ?? task.logTemplate ?? undefined;
  const { os = 'linux', architecture = 'amd64', variant } = platform ?? {};
  return {
    registryUid,
    runType: work.kind === 'dockerBuild' ? 'AutoBuild' : 'AutoRun',
    work,
    ...sourceOf(task, step, context, trigger),
    platforms: [{ os, architecture, ...(variant ? { variant } : {}) }],
    timeoutSeconds: timeout,
    cpus: agentConfiguration?.cpu ?? defaultCpus,
    ...(agentPoolName ? { agentPoolName } : {}),
    authority: authorityOf(asked, context),
    customRegistries: customRegistriesOf(resource, task).flatMap((each) => lentTo(context, each)),
    vaultAccess: context.isOther ? { kind: 'none', reason: 'otherFiles' } : vaultAccessOf(resource),
    isArchiveEnabled: overrides.isArchiveEnabled ?? false,
    ...(logTemplate ? { logTemplate } : {}),
    task: { uid: resource.uid, name: resource.name },
    trigger,
    ...(overrides.updateTriggerToken === undefined ? {} : { updateTriggerToken: overrides.updateTriggerToken }),
    ...(key === undefined ? {} : { key }),
    ...(!context.hasSecrets && isLending(asked, step) ? { notes: [withheld] } : {}),
  };
}

/** Else a build fails for want of them, and nobody is told why. */
const withheld =
  "The files are not those of a branch or tag of the task's repository: its access token, its secret values and its passwords of registries are left out.";

function isLending({ resource, task }: TaskRunOf, step: TaskStep): boolean {
  const values = step.type === 'Docker' ? step.arguments : step.values;
  const hasOwn = (values ?? []).some(({ isSecret }) => isSecret) || Boolean(step.contextAccessToken);
  return hasOwn || customRegistriesOf(resource, task).length > 0;
}

/** Where the files of a run come from, and what of its task they may have. */
type ContextAsked = {
  readonly location: string | undefined;
  /** Files that the caller names: what they do is the caller's doing, and not that of the task's author. */
  readonly isOther: boolean;
  /** What was given for the files that the task names goes to files of their repository alone. */
  readonly hasSecrets: boolean;
};

function contextAsked(task: StoredTask, { contextPath }: TaskOverrides): ContextAsked {
  const own = contextOf(task);
  const location = contextPath === undefined ? own : contextOf({ step: task.step && { ...task.step, contextPath } });
  const isOther = location !== own;
  return { location, isOther, hasSecrets: !isOther || isOfSameRepository(own, location) };
}

function withoutSecretValues(step: TaskStep): TaskStep {
  const shown = (values: StepValues) => values?.filter(({ isSecret }) => !isSecret);
  return step.type === 'Docker'
    ? { ...step, arguments: shown(step.arguments) }
    : { ...step, values: shown(step.values) };
}

/** Other files have the passwords of a task at most, and never its identity, nor what that reads of key vaults. */
function lentTo({ isOther, hasSecrets }: ContextAsked, registry: CustomRegistry): CustomRegistry[] {
  if (!isOther) return [registry];
  const { server, username, password } = registry;
  return hasSecrets && username !== undefined && password !== undefined ? [{ server, username, password }] : [];
}

export function workOf(step: TaskStep, overrides: TaskOverrides): RunWork {
  switch (step.type) {
    case 'Docker': {
      const target = overrides.target ?? step.target ?? undefined;
      return {
        kind: 'dockerBuild',
        dockerFile: overrides.file ?? step.dockerFilePath,
        imageNames: step.imageNames ?? [],
        isPushEnabled: step.isPushEnabled ?? true,
        noCache: step.noCache ?? false,
        ...(target ? { target } : {}),
        arguments: namedValues(step.arguments, overrides.arguments),
      };
    }
    case 'FileTask':
      return {
        kind: 'fileTask',
        taskFile: overrides.file ?? step.taskFilePath,
        ...(step.valuesFilePath ? { valuesFile: step.valuesFilePath } : {}),
        values: namedValues(step.values, overrides.values),
      };
    case 'EncodedTask':
      return {
        kind: 'encodedTask',
        content: decoded(step.encodedTaskContent),
        ...(step.encodedValuesContent ? { valuesContent: decoded(step.encodedValuesContent) } : {}),
        values: namedValues(step.values, overrides.values),
      };
  }
}

type StepValues = Extract<TaskStep, { type: 'FileTask' }>['values'];

/** Those of the task, those of the run instead of them where the names are the same. */
function namedValues(own: StepValues, given: readonly NamedValue[] = []): NamedValue[] {
  const all = new Map<string, NamedValue>();
  for (const { name, value, isSecret } of own ?? [])
    all.set(name, { name, value: value ?? '', isSecret: isSecret ?? false });
  for (const each of given) all.set(each.name, each);
  return [...all.values()];
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

/** Files that were uploaded for this run, a place that it names, or that of the task, at the commit that started it. */
function sourceOf(
  task: StoredTask,
  step: TaskStep,
  { location, hasSecrets }: ContextAsked,
  trigger: RunTrigger,
): Pick<NewRun, 'source' | 'contextPath'> {
  if (location === undefined) return { source: { kind: 'none' } };
  if (isUploadPath(location)) return { source: { kind: 'upload' }, contextPath: location };
  const accessToken = hasSecrets ? (step.contextAccessToken ?? sourceToken(task, location)) : undefined;
  return {
    source: {
      kind: 'remote',
      location,
      ...(trigger.kind === 'source' ? { commit: trigger.commitId } : {}),
      ...(accessToken ? { accessToken } : {}),
    },
  };
}

function sourceToken({ trigger }: StoredTask, location: string): string | undefined {
  const found = trigger?.sourceTriggers?.find(({ sourceRepository }) =>
    isSameOrigin(sourceRepository.repositoryUrl, location.split('#')[0]),
  );
  return found?.sourceRepository.sourceControlAuthProperties?.token ?? undefined;
}

/**
 * With whose rights a run of a task reaches its registry: nobody's where the task says `None`, those of the caller who has it
 * work on other files, else those of its identity where it names one, else those of whoever wrote what it does: nobody gets
 * more by a task than they have.
 */
function authorityOf(
  { resource, task: { credentials }, isByRepository, caller }: TaskRunOf,
  { isOther }: ContextAsked,
): RunAuthority {
  const { loginMode, identity } = credentials?.sourceRegistry ?? {};
  const named = identity?.toLowerCase();
  if (loginMode === 'None' || named === 'none') return { kind: 'none' };
  const own = identity && !isOther ? principalOf(resource, identity) : undefined;
  if (own !== undefined) return { kind: 'principal', principalId: own, principalType: 'ServicePrincipal' };
  if (isByRepository && named !== '[caller]') return { kind: 'none' };
  const lender = isOther ? caller : stepAuthorOf(resource);
  if (lender === undefined) return { kind: 'none' };
  const { uid, kind } = lender;
  return { kind: 'principal', principalId: uid, principalType: kind === 'User' ? 'User' : 'ServicePrincipal' };
}

/** Uid of `[system]` or of the managed identity with a client id, where the task has it. */
function principalOf(resource: Resource, named: string): string | undefined {
  const key = named.toLowerCase();
  return identitiesOf(resource).find(({ clientId = '[system]' }) => clientId === key)?.principalUid;
}

/** Of a task, or of a run that is a resource. */
export function vaultAccessOf(resource: Resource): VaultAccess {
  return { kind: 'identities', resourceUid: resource.uid, identities: identitiesOf(resource) };
}

/** Of the same. */
export function identitiesOf({ identity }: Resource): TaskIdentity[] {
  const own = uidIn(identity?.principalId);
  const assigned = identity?.userAssignedIdentities;
  const others = Object.values(isJsonObject(assigned) ? assigned : {}).flatMap((each) => {
    if (!isJsonObject(each) || typeof each.clientId !== 'string') return [];
    const principalUid = uidIn(each.principalId);
    return principalUid === undefined ? [] : [{ clientId: each.clientId.toLowerCase(), principalUid }];
  });
  return [...(own === undefined ? [] : [{ principalUid: own }]), ...others];
}

function uidIn(objectId: unknown): string | undefined {
  return typeof objectId === 'string' ? uidOfObjectId(objectId) : undefined;
}

export function customRegistriesOf(resource: Resource, { credentials }: StoredTask): CustomRegistry[] {
  return Object.entries(credentials?.customRegistries ?? {}).map(([server, written]) => {
    const principalUid = written.identity ? principalOf(resource, written.identity) : undefined;
    return { ...customRegistryOf(server, written), ...(principalUid === undefined ? {} : { principalUid }) };
  });
}
