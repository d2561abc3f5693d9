import { z } from 'zod';
import { canonicalJson } from '../../../platform/journal/canonical-json.ts';
import type { Sealer } from '../../../platform/keys/sealer.ts';
import type { JsonObject } from '../../../wire/arm/json.ts';
import type { BaseImageTrigger, TaskStep } from '../../../wire/arm/task-schema.ts';
import type { Resource } from '../../resources/resource.ts';
import { isSameOrigin, type StoredTask, storedTaskOf, tidy } from './task.ts';
import { isPatch } from './task-rules.ts';

export type TaskSecretParts = { readonly sealer: Sealer };

/** By the place in the task that each belongs to. */
type Secrets = Readonly<Record<string, string>>;
const secretsSchema = z.record(z.string(), z.string());

/** Gives and takes one secret; what `visit` answers takes its place, undefined leaves it out. */
type Visit = (place: string, value: string | undefined) => string | undefined;

/**
 * Takes the secrets out of a task's properties and leaves them sealed, so that neither the resource nor its events show them.
 * What a PATCH leaves out stays, unless it would then be sent to another server than the one it was given for: whoever may
 * change a task need not be one who may see its secrets.
 */
export function sealSecrets(
  { sealer }: TaskSecretParts,
  resource: Resource,
  previous: Resource | undefined,
): JsonObject {
  const task = storedTaskOf(resource);
  const before = previous === undefined ? {} : openSecrets({ sealer }, previous);
  const kept = previous !== undefined && isPatch(resource.properties, previous) ? keptOf(before, task, previous) : {};
  const secrets: Record<string, string> = {};
  const shown = visitSecrets(task, (place, value) => {
    const secret = value ?? kept[place];
    if (secret !== undefined) secrets[place] = secret;
    return undefined;
  });
  // Sealing the same once more would look like a change.
  const isSame = previous !== undefined && canonicalJson(before) === canonicalJson(secrets);
  const sealed = isSame ? (previous.properties.sealed ?? null) : sealText(sealer, resource.uid, secrets);
  return tidy({ ...shown, sealed });
}

/** A stored task with its secrets in their places. Throws SealError. */
export function openTask(parts: TaskSecretParts, resource: Pick<Resource, 'uid' | 'properties'>): StoredTask {
  const secrets = openSecrets(parts, resource);
  return visitSecrets(storedTaskOf(resource), (place) => secrets[place]);
}

function openSecrets({ sealer }: TaskSecretParts, { uid, properties }: Pick<Resource, 'uid' | 'properties'>): Secrets {
  const { sealed } = properties;
  if (typeof sealed !== 'string') return {};
  return secretsSchema.parse(JSON.parse(sealer.openText(purposeOf(uid), Buffer.from(sealed, 'base64'))));
}

/** Base64. */
function sealText(sealer: Sealer, uid: string, secrets: Secrets): string {
  return Buffer.from(sealer.sealText(purposeOf(uid), JSON.stringify(secrets))).toString('base64');
}

function purposeOf(uid: string): string {
  return `task/${uid}`;
}

/** Without what was given for another server than the one that is named now. */
function keptOf(secrets: Secrets, task: StoredTask, previous: Resource): Secrets {
  const old = storedTaskOf(previous);
  const moved = new Set<string>();
  if (!isSameOrigin(old.step?.contextPath ?? undefined, task.step?.contextPath ?? undefined)) moved.add('context');
  for (const { name, sourceRepository } of task.trigger?.sourceTriggers ?? []) {
    const before = old.trigger?.sourceTriggers?.find((each) => each.name.toLowerCase() === name.toLowerCase());
    if (!isSameOrigin(before?.sourceRepository.repositoryUrl, sourceRepository.repositoryUrl)) {
      moved.add(`source/${name.toLowerCase()}/token`);
      moved.add(`source/${name.toLowerCase()}/refreshToken`);
    }
  }
  return Object.fromEntries(Object.entries(secrets).filter(([place]) => !moved.has(place)));
}

function visitSecrets(task: StoredTask, visit: Visit): StoredTask {
  const { step, trigger, credentials } = task;
  return {
    ...task,
    ...(step && { step: visitStep(step, visit) }),
    ...(trigger && {
      trigger: {
        ...trigger,
        ...(trigger.sourceTriggers && {
          sourceTriggers: trigger.sourceTriggers.map((source) => visitSource(source, visit)),
        }),
        ...(trigger.baseImageTrigger && { baseImageTrigger: visitBaseImage(trigger.baseImageTrigger, visit) }),
      },
    }),
    ...(credentials && { credentials: visitCredentials(credentials, visit) }),
  };
}

function visitStep(step: TaskStep, visit: Visit): TaskStep {
  const contextAccessToken = asked(visit, 'context', step.contextAccessToken);
  const secretly = (kind: string, list: TaskArguments) =>
    list?.map((each) =>
      each.isSecret ? { ...each, value: asked(visit, `${kind}/${each.name.toLowerCase()}`, each.value) } : each,
    );
  return step.type === 'Docker'
    ? { ...step, contextAccessToken, arguments: secretly('argument', step.arguments) }
    : { ...step, contextAccessToken, values: secretly('value', step.values) };
}

type TaskArguments = Extract<TaskStep, { type: 'Docker' }>['arguments'];
type Source = NonNullable<NonNullable<StoredTask['trigger']>['sourceTriggers']>[number];
type Credentials = NonNullable<StoredTask['credentials']>;

/** Who knows the address may call it. */
function visitBaseImage(base: BaseImageTrigger, visit: Visit): BaseImageTrigger {
  return { ...base, updateTriggerEndpoint: asked(visit, 'baseImage/endpoint', base.updateTriggerEndpoint) };
}

function visitSource(source: Source, visit: Visit): Source {
  const { sourceRepository, name } = source;
  const auth = sourceRepository.sourceControlAuthProperties ?? {};
  const place = `source/${name.toLowerCase()}`;
  const sourceControlAuthProperties = {
    ...auth,
    token: asked(visit, `${place}/token`, auth.token),
    refreshToken: asked(visit, `${place}/refreshToken`, auth.refreshToken),
  };
  return { ...source, sourceRepository: { ...sourceRepository, sourceControlAuthProperties } };
}

function visitCredentials(credentials: Credentials, visit: Visit): Credentials {
  const { customRegistries } = credentials;
  if (!customRegistries) return credentials;
  const visited = Object.entries(customRegistries).map(([server, { userName, password, ...rest }]) => {
    const place = `credential/${server.toLowerCase()}`;
    const secret = (each: typeof userName, word: string) =>
      each && { ...each, value: asked(visit, `${place}/${word}`, each.value) };
    return [
      server,
      { ...rest, userName: secret(userName, 'userName'), password: secret(password, 'password') },
    ] as const;
  });
  return { ...credentials, customRegistries: Object.fromEntries(visited) };
}

function asked(visit: Visit, place: string, value: string | null | undefined): string | undefined {
  return visit(place, value ?? undefined);
}
