import { BerthError } from '../../core/errors.ts';
import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import type { Json, JsonObject } from '../../wire/arm/json.ts';
import { missing } from '../resources/resources.ts';
import { Arguments } from './arguments.ts';
import { type Budget, type Evaluator, type PlaceFunctions, templateInvalid } from './evaluator.ts';
import { isExpression } from './expression.ts';
import { UnresolvedError } from './expression-error.ts';
import { runNested } from './nested-run.ts';
import type { PreparedTemplate } from './prepared-template.ts';
import type { Hosted, ResourceHost } from './resource-host.ts';
import type { OutputDefinition, Template } from './template.ts';
import { circle, conditionOf, deploymentType, findPlanned, objectOf, type PlannedResource } from './template-plan.ts';
import type { TemplateScope } from './template-scope.ts';
import { checkValue } from './type-definitions.ts';

/** How one resource of a deployment went. */
export type Step = {
  readonly id: string;
  readonly type: string;
  readonly name: string;
  readonly state: 'Succeeded' | 'Failed';
  readonly error: ArmErrorPart | undefined;
};

/** A nested deployment after its end. */
export type NestedEnd = {
  readonly scope: TemplateScope;
  readonly template: JsonObject;
  readonly prepared: PreparedTemplate;
  readonly result: RunResult;
};

/** What every template of one deployment shares. */
export type RunParts = {
  readonly host: ResourceHost;
  readonly budget: Budget;
  readonly nowMicros: number;
  readonly seed: string;
  readonly report: (step: Step) => Promise<void>;
  readonly nestedEnded: (end: NestedEnd) => Promise<void>;
  /** Throws when the deployment was cancelled or the server stops. */
  readonly refuseStopped: () => Promise<void>;
  readonly errorOf: (error: BerthError) => ArmErrorPart;
};

export type RunResult = {
  readonly outputs: ReadonlyMap<string, Json>;
  readonly errors: readonly ArmErrorPart[];
  /** Ids of everything that the template deploys, nested templates included. */
  readonly ids: readonly string[];
};

type Outcome =
  | { readonly kind: 'done'; readonly hosted: Hosted }
  /** Its condition is false, or it is only named. */
  | { readonly kind: 'notDeployed' }
  | { readonly kind: 'failed' };

/** Something this resource waits for has failed; told there. */
class DependencyFailed extends Error {}

/** Deploys the resources of one template, one after the other, each after what it needs. */
export class TemplateRun {
  readonly parts: RunParts;
  readonly scope: TemplateScope;
  readonly prepared: PreparedTemplate;
  /** How many templates stand around this one. */
  readonly depth: number;
  readonly #outer: TemplateRun | undefined;
  readonly #outcomes = new Map<PlannedResource, Outcome>();
  readonly #errors: ArmErrorPart[] = [];
  readonly #ids: string[] = [];

  constructor(parts: RunParts, scope: TemplateScope, prepared: PreparedTemplate, outer?: TemplateRun) {
    this.parts = parts;
    this.scope = scope;
    this.prepared = prepared;
    this.depth = outer === undefined ? 0 : outer.depth + 1;
    this.#outer = outer;
  }

  /** Resources that do not need a failed one are deployed all the same. Throws `templateInvalid` for outputs. */
  async run(): Promise<RunResult> {
    for (const each of this.prepared.planned) await this.#ensure(each, []);
    const outputs = this.#errors.length > 0 ? new Map<string, Json>() : await this.#outputs();
    return { outputs, errors: this.#errors, ids: this.#ids };
  }

  async #ensure(item: PlannedResource, path: readonly PlannedResource[]): Promise<Outcome> {
    const known = this.#outcomes.get(item);
    if (known !== undefined) return known;
    if (path.includes(item)) throw circle([...path.slice(path.indexOf(item)), item]);
    const outcome = await this.#deploy(item, [...path, item]);
    this.#outcomes.set(item, outcome);
    return outcome;
  }

  async #deploy(item: PlannedResource, path: readonly PlannedResource[]): Promise<Outcome> {
    let hasFailed = false;
    for (const before of this.prepared.order.get(item) ?? []) {
      if ((await this.#ensure(before, path)).kind === 'failed') hasFailed = true;
    }
    if (hasFailed) return { kind: 'failed' };
    if (!item.isWanted || item.isExisting) return { kind: 'notDeployed' };
    try {
      return { kind: 'done', hosted: await this.#put(item, path) };
    } catch (error) {
      if (error instanceof DependencyFailed) return { kind: 'failed' };
      if (!(error instanceof BerthError)) throw error;
      await this.#fail(item, this.parts.errorOf(error));
      return { kind: 'failed' };
    }
  }

  async #put(item: PlannedResource, path: readonly PlannedResource[]): Promise<Hosted> {
    await this.parts.refuseStopped();
    const evaluator = item.evaluator.with(this.#runtime(path));
    const hosted =
      item.type.toLowerCase() === deploymentType.toLowerCase()
        ? await runNested(this, item, evaluator, this.#ids)
        : await this.#putResource(item, evaluator);
    await this.parts.report({ id: item.id, type: item.type, name: item.name, state: 'Succeeded', error: undefined });
    return hosted;
  }

  async #putResource(item: PlannedResource, evaluator: Evaluator): Promise<Hosted> {
    this.#ids.push(item.id);
    const body = objectOf(await evaluator.evaluate(item.body, item.where));
    const { id, apiVersion } = item;
    return await this.parts.host.put({ id, apiVersion, body }, this.parts.refuseStopped);
  }

  async #fail({ id, type, name }: PlannedResource, error: ArmErrorPart): Promise<void> {
    this.#errors.push({ ...error, target: error.target ?? id });
    await this.parts.report({ id, type, name, state: 'Failed', error });
  }

  /** Functions that look at resources, for what is computed while resources are deployed. */
  #runtime(path: readonly PlannedResource[]): PlaceFunctions {
    return {
      reference: (args) => this.#reference(args.count(1, 3), path),
      references: (args) => this.#references(args.count(1, 2), path),
      'list*': (args) => this.#list(args.count(1, 3), path),
      resourceinfo: (args) => this.#info(args.count(1)),
    };
  }

  async #reference(args: Arguments, path: readonly PlannedResource[]): Promise<Json> {
    const hosted = await this.#resource(args, path);
    if (!hosted.isKnown) throw new UnresolvedError();
    const isFull = args.all.length > 2 && args.text(2).toLowerCase() === 'full';
    return isFull ? hosted.view : (hosted.view.properties ?? {});
  }

  /** Every resource of a loop by its symbolic name. Source: Azure Resource Manager, "references". */
  async #references(args: Arguments, path: readonly PlannedResource[]): Promise<Json> {
    const name = args.text(0);
    const { template, planned } = this.prepared;
    if (!template.resources.some(({ symbol, copy }) => symbol === name && copy !== undefined))
      throw args.fail('the template has no loop of this symbolic name');
    const loop = planned.filter((each) => each.loop === name && each.symbol !== undefined);
    const isFull = args.all.length > 1 && args.text(1).toLowerCase() === 'full';
    const values: Json[] = [];
    for (const { symbol = '' } of loop) {
      const one = new Arguments(args.name, [symbol, ...(isFull ? ['2023-07-01', 'full'] : [])]);
      values.push(await this.#reference(one, path));
    }
    return values;
  }

  async #list(args: Arguments, path: readonly PlannedResource[]): Promise<Json> {
    const { isKnown, view } = await this.#resource(args, path);
    if (!isKnown) throw new UnresolvedError();
    const version = args.all.length > 1 ? args.text(1) : '2023-07-01';
    const body = args.all.length > 2 ? args.object(2) : {};
    return await this.parts.host.act(String(view.id), args.name, version, body);
  }

  #info(args: Arguments): Json {
    const found = this.#find(args.text(0));
    if (found === undefined) throw args.fail('the template has no resource of this name');
    const { id, name, type, apiVersion } = found.item;
    return { id, name, type, apiVersion };
  }

  async #resource(args: Arguments, path: readonly PlannedResource[]): Promise<Hosted> {
    const name = args.text(0);
    const found = this.#find(name);
    const version = args.all.length > 1 ? args.text(1) : (found?.item.apiVersion ?? '2023-07-01');
    if (found === undefined) return await this.#read(args, name, version);
    const outcome = await found.run.#ensure(found.item, found.run === this ? path : []);
    if (outcome.kind === 'failed') throw new DependencyFailed();
    return outcome.kind === 'done' ? outcome.hosted : await this.#read(args, found.item.id, version);
  }

  async #read(args: Arguments, id: string, apiVersion: string): Promise<Hosted> {
    if (!id.startsWith('/')) throw args.fail(`the resource '${id.slice(0, 300)}' is not defined in the template`);
    const view = await this.parts.host.read(id, apiVersion);
    if (view === undefined) throw missing(id);
    return { view, isKnown: true };
  }

  /** Here or in a template around this one. */
  #find(name: string): { readonly run: TemplateRun; readonly item: PlannedResource } | undefined {
    const item = findPlanned(this.prepared.planned, name);
    if (item !== undefined) return { run: this, item };
    return this.#outer === undefined ? undefined : this.#outer.#find(name);
  }

  async #outputs(): Promise<ReadonlyMap<string, Json>> {
    const evaluator = this.prepared.evaluator.with(this.#runtime([]));
    const outputs = new Map<string, Json>();
    const { template } = this.prepared;
    for (const [name, output] of Object.entries(template.outputs)) {
      const where = `outputs.${name}`;
      if (!(await conditionOf(output.condition, evaluator, where))) continue;
      outputs.set(name, await outputValue(output, { template, evaluator }, where));
    }
    return outputs;
  }
}

async function outputValue(
  { value, copy, ...definition }: OutputDefinition,
  { template, evaluator }: { readonly template: Template; readonly evaluator: Evaluator },
  where: string,
): Promise<Json> {
  if (copy !== undefined) return await evaluator.loop({ name: 'output', ...copy }, `${where}.copy`);
  if (value === undefined) throw templateInvalid('the output has no value', where);
  const result = await evaluator.evaluate(value, `${where}.value`);
  // A forecast leaves open what only the deployment can tell.
  const isOpen = typeof result === 'string' && isExpression(result);
  if (!isOpen) checkValue(definition, result, template.definitions, where);
  return result;
}
