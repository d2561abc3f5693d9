import { TaskError } from './task-error.ts';
import type { TemplateBudget } from './template-budget.ts';
import { type FunctionSurroundings, isPlainFunction, templateFunction } from './template-functions.ts';
import { type Expression, parseTemplate, type TemplateNode } from './template-syntax.ts';
import { isList, isMap, isTruthy, type TemplateValue, textOf } from './template-value.ts';

const maxOutputLength = 4 * 1024 * 1024;

/** The budget is that of all templates of a run. */
export type RenderSurroundings = FunctionSurroundings & { readonly budget: TemplateBudget };

/**
 * Fills a template of a task: fields, variables, `if`, `with`, `range`, pipelines and the usual Sprig functions. What is
 * missing is empty text. No code runs: functions are those of `template-functions.ts`, steps and all that is made are bounded.
 * Throws TaskError. Source: ACR tasks, 2.9; security rule 22.
 */
export function renderTemplate(text: string, data: TemplateValue, surroundings: RenderSurroundings): string {
  const output = new Output();
  const scope = new Scope(undefined, new Map([['', data]]));
  new Renderer(output, surroundings).nodes(parseTemplate(text), data, scope);
  return output.text();
}

class Output {
  readonly #parts: string[] = [];
  #length = 0;

  add(text: string): void {
    this.#length += text.length;
    if (this.#length > maxOutputLength) throw new TaskError('a template makes more than 4 MiB of text');
    this.#parts.push(text);
  }

  text(): string {
    return this.#parts.join('');
  }
}

class Scope {
  readonly #outer: Scope | undefined;
  readonly #values: Map<string, TemplateValue>;

  constructor(outer: Scope | undefined, values: Map<string, TemplateValue>) {
    this.#outer = outer;
    this.#values = values;
  }

  get(name: string): TemplateValue {
    const owner = this.#owner(name);
    if (owner === undefined) throw new TaskError(`a template uses $${name}, which nothing sets`);
    return owner.#values.get(name);
  }

  set(name: string, value: TemplateValue): void {
    const owner = this.#owner(name);
    if (owner === undefined) throw new TaskError(`a template sets $${name}, which nothing made; use :=`);
    owner.#values.set(name, value);
  }

  make(name: string, value: TemplateValue): void {
    this.#values.set(name, value);
  }

  #owner(name: string): Scope | undefined {
    if (this.#values.has(name)) return this;
    return this.#outer === undefined ? undefined : this.#outer.#owner(name);
  }
}

class Renderer {
  readonly #output: Output;
  readonly #surroundings: RenderSurroundings;
  readonly #budget: TemplateBudget;

  constructor(output: Output, surroundings: RenderSurroundings) {
    this.#output = output;
    this.#surroundings = surroundings;
    this.#budget = surroundings.budget;
  }

  nodes(nodes: readonly TemplateNode[], dot: TemplateValue, scope: Scope): void {
    for (const node of nodes) this.#node(node, dot, scope);
  }

  #node(node: TemplateNode, dot: TemplateValue, scope: Scope): void {
    this.#budget.step();
    if (node.kind === 'text') {
      this.#print(node.text);
      return;
    }
    const value = this.#value(node.value, dot, scope);
    const inner = () => new Scope(scope, new Map());
    if (node.kind === 'print') this.#print(value);
    else if (node.kind === 'assign') assign(scope, node.name, value, node.isNew);
    else if (node.kind === 'range') this.#range(node, value, dot, scope);
    else if (isTruthy(value)) this.nodes(node.then, node.kind === 'with' ? value : dot, inner());
    else this.nodes(node.otherwise, dot, inner());
  }

  #range(node: Extract<TemplateNode, { kind: 'range' }>, value: TemplateValue, dot: TemplateValue, scope: Scope): void {
    const items = entriesOf(value);
    if (items.length === 0) this.nodes(node.otherwise, dot, new Scope(scope, new Map()));
    for (const [key, item] of items) this.nodes(node.then, item, this.#rangeScope(node.names, key, item, scope));
  }

  #rangeScope(names: readonly string[], key: TemplateValue, item: TemplateValue, scope: Scope): Scope {
    this.#budget.step();
    const [first, second] = names;
    const values = new Map<string, TemplateValue>();
    if (second !== undefined) values.set(second, item);
    if (first !== undefined) values.set(first, second === undefined ? item : key);
    return new Scope(scope, values);
  }

  #value(expression: Expression, dot: TemplateValue, scope: Scope): TemplateValue {
    this.#budget.step();
    switch (expression.kind) {
      case 'literal':
        return expression.value;
      case 'variable':
        return scope.get(expression.name);
      case 'field': {
        const start = expression.of === undefined ? dot : this.#value(expression.of, dot, scope);
        return expression.names.reduce<TemplateValue>(
          (value, name) => (isMap(value) ? value.get(name) : undefined),
          start,
        );
      }
      case 'call': {
        const inputs = expression.inputs.map((input) => this.#value(input, dot, scope));
        return this.#call(expression.name, inputs);
      }
    }
  }

  #call(name: string, inputs: readonly TemplateValue[]): TemplateValue {
    const budget = this.#budget;
    const isPlain = isPlainFunction(name);
    for (const input of inputs) {
      if (isPlain) budget.take(input);
      else budget.takeAll(input);
    }
    const made = templateFunction(name)(inputs, this.#surroundings);
    if (isPlain) budget.take(made);
    else budget.takeAll(made);
    return made;
  }

  #print(value: TemplateValue): void {
    this.#budget.takeAll(value);
    this.#output.add(textOf(value));
  }
}

function assign(scope: Scope, name: string, value: TemplateValue, isNew: boolean): void {
  if (isNew) scope.make(name, value);
  else scope.set(name, value);
}

function entriesOf(value: TemplateValue): readonly (readonly [TemplateValue, TemplateValue])[] {
  if (isList(value)) return value.map((item, index) => [index, item]);
  if (isMap(value)) return [...value].sort(([a], [b]) => (a < b ? -1 : 1));
  return [];
}
