import { BerthError } from '../../core/errors.ts';
import type { JobKind } from '../../platform/jobs/jobs.ts';
import { deploymentRequestSchema } from '../../wire/arm/deployment-schema.ts';
import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import type { Json, JsonObject } from '../../wire/arm/json.ts';
import { refuseLocked } from '../resources/locks.ts';
import { parseProperties } from '../resources/parse-properties.ts';
import { refuse } from '../resources/refuse.ts';
import type { Author, Resource } from '../resources/resource.ts';
import { extensionName } from '../resources/resource-names.ts';
import { refuseLeaving } from '../resources/resources.ts';
import type { Subscription } from '../resources/subscription-store.ts';
import type { Deployment } from './deployment.ts';
import {
  cancelDeployment,
  deleteDeployment,
  findDeployment,
  forgetOrphans,
  listDeployments,
  replaceDeployment,
} from './deployment-store.ts';
import {
  DeploymentWork,
  type DeploymentWorkParts,
  deploymentJob,
  othersIn,
  purposeOf,
  scopeOf,
} from './deployment-work.ts';
import { newBudget } from './evaluator.ts';
import { checkVariables, type PreparedTemplate, prepareTemplate } from './prepared-template.ts';
import { eventOf } from './progression.ts';
import type { ResourceHost } from './resource-host.ts';
import { parseTemplate } from './template.ts';
import { isSecure, shownValues } from './template-parameters.ts';
import { deploymentType } from './template-plan.ts';
import { type RunParts, type RunResult, TemplateRun } from './template-run.ts';
import type { ResourceChange } from './what-if.ts';

/** Foretells what a deployment would do. */
export type Forecast = { readonly host: ResourceHost; readonly changes: readonly ResourceChange[] };

export type DeploymentsParts = DeploymentWorkParts & {
  readonly forecastOf: (author: Author) => Forecast;
  readonly describe: (resource: Resource) => JsonObject;
};

export type DeploymentRequestTo = {
  readonly group: Resource;
  readonly subscription: Subscription;
  readonly name: string;
  readonly body: JsonObject;
  readonly author: Author;
  readonly correlationId: string;
};

export const maxListed = 800;

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
      await jobs.add(tx, { kind: deploymentJob, key: uid, payload: { uid } });
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
    const { errors } = await this.#foretell(host, request, prepared);
    if (errors.length > 0) throw rejected(request.name, errors);
    return { prepared, mode };
  }

  /** What a deployment would change. Throws as `validate`. */
  async whatIf(
    request: DeploymentRequestTo,
  ): Promise<{ readonly changes: readonly ResourceChange[]; readonly secrets: readonly string[] }> {
    const { prepared, mode } = await this.#prepare(request, this.#parts.ids.guid());
    const { host, changes } = this.#parts.forecastOf(request.author);
    const { errors, ids } = await this.#foretell(host, request, prepared);
    if (errors.length > 0) throw rejected(request.name, errors);
    const others = await othersIn(this.#parts, request.group, ids);
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
      new DeploymentWork(this.#parts).jobKind(),
      {
        kind: 'deployments.forget',
        run: async () => await database.transaction((tx) => forgetOrphans(tx)),
        leaseMs: 60_000,
        maxAttempts: 3,
        everyMs: 3_600_000,
      },
    ];
  }

  /** Everything but the writing. */
  async #foretell(host: ResourceHost, request: DeploymentRequestTo, prepared: PreparedTemplate): Promise<RunResult> {
    const parts: RunParts = {
      ...{ host, budget: newBudget(), nowMicros: this.#parts.clock.nowMicros(), seed: this.#parts.ids.guid() },
      errorOf: this.#parts.errorOf,
      report: async () => {},
      refuseStopped: async () => {},
      nestedEnded: async () => {},
    };
    return await new TemplateRun(parts, scopeOf(this.#parts, request), prepared).run();
  }

  async #prepare(request: DeploymentRequestTo, seed: string) {
    checkName(request.name);
    const { properties } = parseProperties(deploymentRequestSchema, request.body, '');
    const template = parseTemplate(properties.template, 'properties.template');
    const prepared = await prepareTemplate({
      ...{ template, given: properties.parameters ?? {}, scope: scopeOf(this.#parts, request), seed },
      budget: newBudget(),
      nowMicros: this.#parts.clock.nowMicros(),
    });
    await checkVariables(prepared);
    return { prepared, mode: properties.mode, template: properties.template };
  }
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
