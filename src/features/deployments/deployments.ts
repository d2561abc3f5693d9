import { BerthError } from '../../core/errors.ts';
import type { JobKind, JobRun, Jobs } from '../../platform/jobs/jobs.ts';
import { tenantStreamOf } from '../../platform/journal/journal.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import { deploymentRequestSchema } from '../../wire/arm/deployment-schema.ts';
import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import { type Json, type JsonObject, parseJsonObject } from '../../wire/arm/json.ts';
import { refuseLocked } from '../resources/locks.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { extensionName } from '../resources/resource-names.ts';
import { findByUid, listBelow } from '../resources/resource-store.ts';
import { type ResourcesParts, refuseLeaving } from '../resources/resources.ts';
import type { Subscription } from '../resources/subscription-store.ts';
import type { Deployment, DeploymentOperation } from './deployment.ts';
import {
  cancelDeployment,
  deleteDeployment,
  findActive,
  findDeployment,
  forgetOrphans,
  listDeployments,
  replaceDeployment,
  standingOf,
  writeProgress,
} from './deployment-store.ts';
import { newBudget } from './evaluator.ts';
import { checkVariables, type PreparedTemplate, prepareTemplate } from './prepared-template.ts';
import type { ResourceHost } from './resource-host.ts';
import { parseTemplate } from './template.ts';
import { isSecure, shownValues } from './template-parameters.ts';
import { deploymentType, objectOf } from './template-plan.ts';
import { type NestedEnd, type RunParts, type RunResult, TemplateRun } from './template-run.ts';
import type { TemplateScope } from './template-scope.ts';
import type { ResourceChange } from './what-if.ts';

/** Foretells what a deployment would do. */
export type Forecast = { readonly host: ResourceHost; readonly changes: readonly ResourceChange[] };

export type DeploymentsParts = ResourcesParts & {
  readonly sealer: Sealer;
  readonly jobs: Pick<Jobs, 'add'>;
  readonly log: Log;
  /** The resource manager, with the authority of whoever deploys. */
  readonly hostOf: (author: Author) => ResourceHost;
  readonly forecastOf: (author: Author) => Forecast;
  /** Whether a deployment in mode Complete deletes it when the template does not have it. */
  readonly isReplaceable: (resource: Resource) => boolean;
  readonly remove: (id: string, author: Author) => Promise<void>;
  readonly describe: (resource: Resource) => JsonObject;
  readonly errorOf: (error: BerthError) => ArmErrorPart;
  readonly tenantId: string;
  readonly environment: JsonObject;
};

export type DeploymentRequestTo = {
  readonly group: Resource;
  readonly subscription: Subscription;
  readonly name: string;
  readonly body: JsonObject;
  readonly author: Author;
  readonly correlationId: string;
};

const jobKind = 'deployments.run';
const leaseMs = 120_000;
const maxAttempts = 5;
const maxMembers = 10_000;
export const maxListed = 800;

/** What a template's run ends with when the deployment was cancelled or taken by another process. */
class Ended extends Error {}

/** Deployments of ARM templates to resource groups: what people ask for at once, the deploying itself as a job. */
export class Deployments {
  readonly #parts: DeploymentsParts;

  constructor(parts: DeploymentsParts) {
    this.#parts = parts;
  }

  /** Throws `deploymentActive`, `scopeLocked`, `templateInvalid`, `resourceInvalid`. */
  async begin(request: DeploymentRequestTo): Promise<Deployment> {
    const { ids, clock, tenantUid, sealer, journal, jobs } = this.#parts;
    const { group, name, author, correlationId } = request;
    const uid = ids.uid();
    const seed = ids.guid();
    const nowMicros = clock.nowMicros();
    const { prepared, mode, template } = await this.#prepare(request, seed);
    const deployment: Deployment = {
      ...{ uid, tenantUid, groupUid: group.uid, name, mode, state: 'Accepted', template, author, correlationId },
      parameters: shownValues(prepared.template.parameters, prepared.parameters),
      outputs: {},
      operations: [],
      error: undefined,
      createdAtMicros: nowMicros,
      changedAtMicros: nowMicros,
    };
    const given = Object.fromEntries([...prepared.parameters].map(([key, value]): [string, Json] => [key, { value }]));
    const input = sealer.sealText(purposeOf(uid), JSON.stringify({ seed, given }));
    await journal.transaction(async (tx, append) => {
      refuseLeaving(group);
      await refuseLocked(tx, tenantUid, extensionName(group, deploymentType, name), 'write');
      if (!(await replaceDeployment(tx, deployment, input))) throw new BerthError('deploymentActive');
      await jobs.add(tx, { kind: jobKind, key: uid, payload: { uid } });
      append(eventOf('deployment.begun', deployment));
    });
    return deployment;
  }

  /** Looks at a deployment as far as that goes without doing it. Throws `deploymentRejected` and what the template is refused for. */
  async validate(
    request: DeploymentRequestTo,
  ): Promise<{ readonly prepared: PreparedTemplate; readonly mode: Deployment['mode'] }> {
    const { prepared, mode } = await this.#prepare(request, this.#parts.ids.guid());
    const { host } = this.#parts.forecastOf(request.author);
    const { errors } = await this.#runOf(this.#foretelling(host), this.#scopeOf(request), prepared).run();
    if (errors.length > 0) throw rejected(request.name, errors);
    return { prepared, mode };
  }

  /** What a deployment would change. Throws as `validate`. */
  async whatIf(
    request: DeploymentRequestTo,
  ): Promise<{ readonly changes: readonly ResourceChange[]; readonly secrets: readonly string[] }> {
    const { prepared, mode } = await this.#prepare(request, this.#parts.ids.guid());
    const { host, changes } = this.#parts.forecastOf(request.author);
    const { errors, ids } = await this.#runOf(this.#foretelling(host), this.#scopeOf(request), prepared).run();
    if (errors.length > 0) throw rejected(request.name, errors);
    const others = await this.#others(request.group, ids);
    const rest = others.map((each): ResourceChange => {
      const changeType = mode === 'Complete' && this.#parts.isReplaceable(each) ? 'Delete' : 'Ignore';
      return { resourceId: each.id, changeType, before: this.#parts.describe(each) };
    });
    return { changes: [...changes, ...rest], secrets: secretsOf(prepared) };
  }

  /** Throws `deploymentUnknown`. */
  async find(group: Resource, name: string): Promise<Deployment> {
    const found = await findDeployment(this.#parts.database.read, group.uid, name);
    if (found !== undefined) return found;
    throw refuse('deploymentUnknown', {
      message: `Deployment '${name.slice(0, 100)}' could not be found.`,
      target: name,
    });
  }

  /** The newest of a group. */
  async list(group: Resource): Promise<Deployment[]> {
    return await listDeployments(this.#parts.database.read, group.uid, maxListed);
  }

  /** What it deployed stays. Throws `deploymentActive`, `deploymentUnknown`, `scopeLocked`. */
  async delete(group: Resource, name: string, author: Author): Promise<void> {
    const deployment = await this.find(group, name);
    await this.#parts.journal.transaction(async (tx, append) => {
      await refuseLocked(tx, this.#parts.tenantUid, extensionName(group, deploymentType, name), 'delete');
      if (!(await deleteDeployment(tx, deployment.uid))) throw new BerthError('deploymentActive');
      append(eventOf('deployment.deleted', { ...deployment, author }));
    });
  }

  /** What was deployed until now stays. Throws `deploymentEnded`, `deploymentUnknown`. */
  async cancel(group: Resource, name: string, author: Author): Promise<void> {
    const deployment = await this.find(group, name);
    await this.#parts.journal.transaction(async (tx, append) => {
      if (!(await cancelDeployment(tx, deployment.uid, this.#parts.clock.nowMicros())))
        throw new BerthError('deploymentEnded');
      append(eventOf('deployment.ended', { ...deployment, author, state: 'Canceled' }));
    });
  }

  jobKinds(): JobKind[] {
    const { database } = this.#parts;
    return [
      { kind: jobKind, run: (job) => this.#run(job), leaseMs, maxAttempts },
      {
        kind: 'deployments.forget',
        run: async () => await database.transaction((tx) => forgetOrphans(tx)),
        leaseMs: 60_000,
        maxAttempts: 3,
        everyMs: 3_600_000,
      },
    ];
  }

  async #run(job: JobRun): Promise<void> {
    const found = await findActive(this.#parts.database.read, String(job.payload.uid));
    if (found === undefined) return;
    const progress = new Progression(this.#parts, found.deployment, job);
    try {
      await this.#deploy(found, progress);
    } catch (error) {
      if (error instanceof Ended) return;
      if (error instanceof BerthError) return await progress.end({ errors: [this.#parts.errorOf(error)], outputs: {} });
      if (!job.signal.aborted && job.attempt >= maxAttempts) await this.#giveUp(progress, found.deployment, error);
      throw error;
    }
  }

  async #giveUp(progress: Progression, { name }: Deployment, error: unknown): Promise<void> {
    this.#parts.log.error('deployment fails', { deployment: name, error });
    const message = 'The server failed while it deployed. Deploy again: what is there already stays as it is.';
    await progress.end({ errors: [{ code: 'InternalServerError', message }], outputs: {} });
  }

  async #deploy(
    { deployment, input }: NonNullable<Awaited<ReturnType<typeof findActive>>>,
    progress: Progression,
  ): Promise<void> {
    const { sealer, database, hostOf } = this.#parts;
    const group = await findByUid(database.read, deployment.groupUid);
    if (group === undefined) throw refuse('resourceGroupUnknown', { message: 'The resource group has been deleted.' });
    const { seed, given } = parseJsonObject(sealer.openText(purposeOf(deployment.uid), input));
    const scope = this.#scopeOf({
      group,
      name: deployment.name,
      subscription: { subscriptionId: group.subscriptionId, displayName: 'Berth' },
    });
    const shared = { budget: newBudget(), nowMicros: deployment.createdAtMicros, seed: String(seed) };
    const template = parseTemplate(deployment.template, 'properties.template');
    const prepared = await prepareTemplate({ template, given: objectOf(given), scope, ...shared });
    const parts: RunParts = {
      ...shared,
      host: hostOf(deployment.author),
      errorOf: this.#parts.errorOf,
      report: (step) => progress.report(step),
      refuseStopped: () => progress.refuseStopped(),
      nestedEnded: (end) => this.#keepNested(deployment, end),
    };
    const result = await this.#runOf(parts, scope, prepared).run();
    const errors = [...result.errors, ...(await this.#removeOthers(deployment, group, result, progress))];
    await progress.end({ errors, outputs: shownValues(template.outputs, result.outputs) });
  }

  /** Mode Complete: what the template does not have leaves. */
  async #removeOthers(
    deployment: Deployment,
    group: Resource,
    { errors, ids }: RunResult,
    progress: Progression,
  ): Promise<ArmErrorPart[]> {
    if (deployment.mode !== 'Complete' || errors.length > 0) return [];
    const failures: ArmErrorPart[] = [];
    for (const each of await this.#others(group, ids)) {
      if (!this.#parts.isReplaceable(each)) continue;
      await progress.refuseStopped();
      try {
        await this.#parts.remove(each.id, deployment.author);
      } catch (error) {
        if (!(error instanceof BerthError)) throw error;
        failures.push({ ...this.#parts.errorOf(error), target: each.id });
      }
    }
    return failures;
  }

  /** What is in the group without being in the template. */
  async #others(group: Resource, ids: readonly string[]): Promise<Resource[]> {
    const kept = new Set(ids.map((id) => id.toLowerCase()));
    const members = await listBelow(this.#parts.database.read, this.#parts.tenantUid, group.id, maxMembers);
    return members.filter(
      (each) => !kept.has(each.id.toLowerCase()) && each.id.toLowerCase().startsWith(`${group.id.toLowerCase()}/`),
    );
  }

  /** A nested deployment is listed as one of its own. */
  async #keepNested(root: Deployment, { scope, template, prepared, result }: NestedEnd): Promise<void> {
    const { ids, clock, database } = this.#parts;
    const group = await database.read
      .selectFrom('resources')
      .select('uid')
      .where('id_key', '=', scope.group.id.toLowerCase())
      .executeTakeFirst();
    if (group === undefined) return;
    const [first] = result.errors;
    const nested: Deployment = {
      ...root,
      uid: ids.uid(),
      groupUid: group.uid,
      name: scope.deploymentName,
      mode: 'Incremental',
      state: first === undefined ? 'Succeeded' : 'Failed',
      template,
      parameters: shownValues(prepared.template.parameters, prepared.parameters),
      outputs: shownValues(prepared.template.outputs, result.outputs),
      operations: [],
      error: first === undefined ? undefined : failure(result.errors),
      changedAtMicros: clock.nowMicros(),
    };
    await database.transaction(async (tx) => {
      await replaceDeployment(tx, nested, null);
    });
  }

  #foretelling(host: ResourceHost): RunParts {
    return {
      ...{ host, budget: newBudget(), nowMicros: this.#parts.clock.nowMicros(), seed: this.#parts.ids.guid() },
      errorOf: this.#parts.errorOf,
      report: async () => {},
      refuseStopped: async () => {},
      nestedEnded: async () => {},
    };
  }

  #runOf(parts: RunParts, scope: TemplateScope, prepared: PreparedTemplate): TemplateRun {
    return new TemplateRun(parts, scope, prepared);
  }

  async #prepare(request: DeploymentRequestTo, seed: string) {
    checkName(request.name);
    const { properties } = parseProperties(deploymentRequestSchema, request.body, '');
    const template = parseTemplate(properties.template, 'properties.template');
    const prepared = await prepareTemplate({
      ...{ template, given: properties.parameters ?? {}, scope: this.#scopeOf(request), seed },
      budget: newBudget(),
      nowMicros: this.#parts.clock.nowMicros(),
    });
    await checkVariables(prepared);
    return { prepared, mode: properties.mode, template: properties.template };
  }

  #scopeOf({ group, name, subscription }: Pick<DeploymentRequestTo, 'group' | 'name' | 'subscription'>): TemplateScope {
    const { id, location = '', tags } = group;
    return {
      tenantId: this.#parts.tenantId,
      environment: this.#parts.environment,
      subscription,
      group: { id, name: group.name, location, tags },
      deploymentName: name,
    };
  }
}

/** Writes how far one deployment is. */
class Progression {
  readonly #parts: DeploymentsParts;
  readonly #deployment: Deployment;
  readonly #job: JobRun;
  readonly #operations: DeploymentOperation[] = [];

  constructor(parts: DeploymentsParts, deployment: Deployment, job: JobRun) {
    this.#parts = parts;
    this.#deployment = deployment;
    this.#job = job;
  }

  /** Asked before each step: an ended deployment stops, a server that stops leaves the rest to its next start. Throws `denied`. */
  async refuseStopped(): Promise<void> {
    this.#job.signal.throwIfAborted();
    await this.#job.renew();
    const standing = await standingOf(this.#parts.database.read, this.#deployment);
    if (!standing.isActive) throw new Ended();
    if (!standing.isAllowed) throw new BerthError('denied');
  }

  async report(step: Omit<DeploymentOperation, 'atMicros'>): Promise<void> {
    const changedAtMicros = this.#parts.clock.nowMicros();
    this.#operations.push({ ...step, atMicros: changedAtMicros });
    const { uid } = this.#deployment;
    const { database } = this.#parts;
    const state = {
      uid,
      state: 'Running',
      outputs: {},
      operations: this.#operations,
      error: undefined,
      changedAtMicros,
    } as const;
    if (!(await database.transaction((tx) => writeProgress(tx, state)))) throw new Ended();
  }

  async end({
    errors,
    outputs,
  }: {
    readonly errors: readonly ArmErrorPart[];
    readonly outputs: JsonObject;
  }): Promise<void> {
    const ended: Deployment = {
      ...this.#deployment,
      state: errors.length === 0 ? 'Succeeded' : 'Failed',
      outputs,
      operations: this.#operations,
      error: errors.length === 0 ? undefined : failure(errors),
      changedAtMicros: this.#parts.clock.nowMicros(),
    };
    await this.#parts.journal.transaction(async (tx, append) => {
      if (await writeProgress(tx, ended)) append(eventOf('deployment.ended', ended));
    });
  }
}

/** Outputs and parameters stay out of the journal: it is kept for good. */
function eventOf(type: 'deployment.begun' | 'deployment.ended' | 'deployment.deleted', deployment: Deployment) {
  const { uid, groupUid, name, mode, state, correlationId, author, tenantUid } = deployment;
  return {
    stream: tenantStreamOf(tenantUid),
    type,
    version: 1,
    actor: author.uid,
    data: { uid, groupUid, name, mode, state, correlationId },
  };
}

function failure(errors: readonly ArmErrorPart[]) {
  return {
    code: 'DeploymentFailed',
    message: 'At least one resource deployment operation failed. Please list deployment operations for details.',
    details: errors.map(({ code, message, target }) => ({
      code,
      message,
      ...(target === undefined ? {} : { target }),
    })),
  };
}

function rejected(name: string, errors: readonly ArmErrorPart[]): BerthError {
  return refuse('deploymentRejected', {
    message: `The template deployment '${name}' is not valid. ${errors.map(({ message }) => message).join(' ')}`,
    details: errors.map(({ code, message, target }) => ({
      code,
      message,
      ...(target === undefined ? {} : { target }),
    })),
  });
}

function secretsOf({ template, parameters }: PreparedTemplate): string[] {
  return [...parameters].flatMap(([name, value]) => {
    const definition = template.parameters[name];
    return definition !== undefined && isSecure(definition) && typeof value === 'string' && value !== '' ? [value] : [];
  });
}

function checkName(name: string): void {
  if (/^[-\w.()]{1,64}$/.test(name)) return;
  throw refuse('resourceNameInvalid', {
    message: `The deployment name '${name.slice(0, 100)}' is invalid: use 1 to 64 letters, digits, and - _ . ( ).`,
    target: 'name',
  });
}

function purposeOf(uid: string): string {
  return `deployment/${uid}`;
}
