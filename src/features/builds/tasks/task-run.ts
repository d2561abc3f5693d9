import { isJsonObject } from '../../../wire/arm/json.ts';
import type { TaskStep } from '../../../wire/arm/task-schema.ts';
import type { NamedValue, RunWork } from '../../../wire/builds/run-work.ts';
import { uidOfObjectId } from '../../identity/object-id.ts';
import { refuse } from '../../resources/refuse.ts';
import type { Author, Resource } from '../../resources/resource.ts';
import { isUploadPath } from '../quick-run.ts';
import type { CustomRegistry, NewRun, RunAuthority, RunTrigger } from '../run.ts';
import { contextOf, isSameOrigin, type StoredTask } from './task.ts';

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
  const work = workOf(step, overrides);
  const agentPoolName = overrides.agentPoolName ?? task.agentPoolName ?? undefined;
  const logTemplate = overrides.logTemplate ?? task.logTemplate ?? undefined;
  const { os = 'linux', architecture = 'amd64', variant } = platform ?? {};
  return {
    registryUid,
    runType: work.kind === 'dockerBuild' ? 'AutoBuild' : 'AutoRun',
    work,
    ...sourceOf(task, step, overrides, trigger),
    platforms: [{ os, architecture, ...(variant ? { variant } : {}) }],
    timeoutSeconds: timeout,
    cpus: agentConfiguration?.cpu ?? defaultCpus,
    ...(agentPoolName ? { agentPoolName } : {}),
    authority: authorityOf(asked),
    customRegistries: customRegistriesOf(resource, task),
    isArchiveEnabled: overrides.isArchiveEnabled ?? false,
    ...(logTemplate ? { logTemplate } : {}),
    task: { uid: resource.uid, name: resource.name },
    trigger,
    ...(overrides.updateTriggerToken === undefined ? {} : { updateTriggerToken: overrides.updateTriggerToken }),
    ...(key === undefined ? {} : { key }),
  };
}

function workOf(step: TaskStep, overrides: TaskOverrides): RunWork {
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
  overrides: TaskOverrides,
  trigger: RunTrigger,
): Pick<NewRun, 'source' | 'contextPath'> {
  const own = contextOf(task);
  const location =
    overrides.contextPath === undefined ? own : contextOf({ step: { ...step, contextPath: overrides.contextPath } });
  if (location === undefined) return { source: { kind: 'none' } };
  if (isUploadPath(location)) return { source: { kind: 'upload' }, contextPath: location };
  // The token of the task is for the server that the task names.
  const accessToken = isSameOrigin(own, location)
    ? (step.contextAccessToken ?? sourceToken(task, location))
    : undefined;
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
 * With whose rights a run of a task reaches its registry: those of its identity where it names one, nobody's where it says
 * `None`, else those of whoever wrote the task last, or of the caller who has it work on other files: nobody gets more by a
 * task than they have.
 */
function authorityOf({ resource, task: { credentials }, isByRepository, caller, overrides }: TaskRunOf): RunAuthority {
  const { loginMode, identity } = credentials?.sourceRegistry ?? {};
  const named = identity?.toLowerCase();
  if (loginMode === 'None' || named === 'none') return { kind: 'none' };
  const own = identity ? principalOf(resource, identity) : undefined;
  if (own !== undefined) return { kind: 'principal', principalId: own, principalType: 'ServicePrincipal' };
  if (isByRepository && named !== '[caller]') return { kind: 'none' };
  const { uid, kind } = (overrides?.contextPath === undefined ? undefined : caller) ?? resource.changedBy;
  return { kind: 'principal', principalId: uid, principalType: kind === 'User' ? 'User' : 'ServicePrincipal' };
}

/** Uid of `[system]` or of the managed identity with a client id, where the task has it. */
function principalOf({ identity }: Resource, named: string): string | undefined {
  const key = named.toLowerCase();
  if (key === '[system]') return uidIn(identity?.principalId);
  const assigned = identity?.userAssignedIdentities;
  const found = Object.values(isJsonObject(assigned) ? assigned : {}).find(
    (each) => isJsonObject(each) && typeof each.clientId === 'string' && each.clientId.toLowerCase() === key,
  );
  return isJsonObject(found) ? uidIn(found.principalId) : undefined;
}

function uidIn(objectId: unknown): string | undefined {
  return typeof objectId === 'string' ? uidOfObjectId(objectId) : undefined;
}

function customRegistriesOf(resource: Resource, { credentials }: StoredTask): CustomRegistry[] {
  return Object.entries(credentials?.customRegistries ?? {}).map(([server, { userName, password, identity }]) => {
    const principalUid = identity ? principalOf(resource, identity) : undefined;
    return {
      server,
      ...(userName?.value ? { username: userName.value } : {}),
      ...(password?.value ? { password: password.value } : {}),
      ...(identity ? { identity } : {}),
      ...(principalUid === undefined ? {} : { principalUid }),
    };
  });
}
