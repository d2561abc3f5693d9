import { BerthError } from '../../core/errors.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import { type JsonObject, parseJsonObject } from '../../wire/arm/json.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { findByUid, listBelow } from '../resources/resource-store.ts';
import type { ResourcesParts } from '../resources/resources.ts';
import type { Deployment } from './deployment.ts';
import { findActive, replaceDeployment } from './deployment-store.ts';
import { newBudget } from './evaluator.ts';
import { prepareTemplate } from './prepared-template.ts';
import { Ended, failure, Progression } from './progression.ts';
import type { ResourceHost } from './resource-host.ts';
import { parseTemplate } from './template.ts';
import { shownValues } from './template-parameters.ts';
import { objectOf } from './template-plan.ts';
import { type NestedEnd, type RunParts, type RunResult, TemplateRun } from './template-run.ts';
import type { TemplateScope } from './template-scope.ts';

export type DeploymentWorkParts = ResourcesParts & {
  readonly sealer: Sealer;
  readonly log: Log;
  /** The resource manager, with the authority of whoever deploys. */
  readonly hostOf: (author: Author) => ResourceHost;
  /** Whether a deployment in mode Complete deletes it when the template does not have it. */
  readonly isReplaceable: (resource: Resource) => boolean;
  readonly remove: (id: string, author: Author) => Promise<void>;
  readonly errorOf: (error: BerthError) => ArmErrorPart;
  readonly tenantId: string;
  readonly environment: JsonObject;
};

export const deploymentJob = 'deployments.run';
const leaseMs = 30_000;
const maxAttempts = 5;
const maxMembers = 10_000;

/** The deploying itself: a job that a killed server leaves to the next. */
export class DeploymentWork {
  readonly #parts: DeploymentWorkParts;

  constructor(parts: DeploymentWorkParts) {
    this.#parts = parts;
  }

  jobKind(): JobKind {
    return { kind: deploymentJob, run: (job) => this.#run(job), leaseMs, maxAttempts };
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
    const scope = scopeOf(this.#parts, {
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
    const result = await new TemplateRun(parts, scope, prepared).run();
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
    for (const each of await othersIn(this.#parts, group, ids)) {
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
}

/** What is in a group without being among these ids. */
export async function othersIn(
  { database, tenantUid }: Pick<DeploymentWorkParts, 'database' | 'tenantUid'>,
  group: Resource,
  ids: readonly string[],
): Promise<Resource[]> {
  const kept = new Set(ids.map((id) => id.toLowerCase()));
  const members = await listBelow(database.read, tenantUid, group.id, maxMembers);
  return members.filter(
    (each) => !kept.has(each.id.toLowerCase()) && each.id.toLowerCase().startsWith(`${group.id.toLowerCase()}/`),
  );
}

/** A group as the expressions of a template see it. */
export function scopeOf(
  { tenantId, environment }: Pick<DeploymentWorkParts, 'tenantId' | 'environment'>,
  {
    group,
    name,
    subscription,
  }: { readonly group: Resource; readonly name: string; readonly subscription: TemplateScope['subscription'] },
): TemplateScope {
  const { id, location = '', tags } = group;
  return { tenantId, environment, subscription, group: { id, name: group.name, location, tags }, deploymentName: name };
}

/** What the sealed input of a deployment is bound to. */
export function purposeOf(uid: string): string {
  return `deployment/${uid}`;
}
