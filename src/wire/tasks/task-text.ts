import { LineCounter, parseDocument, YAMLError } from 'yaml';
import { z } from 'zod';
import type { RunVariables } from '../builds/agent-protocol.ts';
import type { NamedValue } from '../builds/run-work.ts';
import { expandAliases, predefinedAliases, requireAliasName, requireDirective } from './task-aliases.ts';
import { TaskError } from './task-error.ts';
import { renderTemplate } from './template.ts';
import { TemplateBudget } from './template-budget.ts';
import { type TemplateValue, templateValueOf } from './template-value.ts';

const maxTaskLength = 1024 * 1024;
const maxYamlAliases = 100;
const [aliasLine, secretsLine] = [/^alias\s*:/, /^secrets\s*:/];

export type TaskTextInput = {
  /** YAML as the person wrote it. */
  readonly text: string;
  /** YAML of the values file. */
  readonly valuesText: string | undefined;
  /** Given by name; the last of a name wins, and beats the file. */
  readonly values: readonly NamedValue[];
  readonly run: Readonly<Record<string, string>>;
  readonly secrets: Readonly<Record<string, string>>;
  readonly now: Date;
  /** Reads a file of `alias.src`, or undefined where there is none. */
  readonly aliasSources: ReadonlyMap<string, string>;
};

/** A task's text with everything in its place: YAML, and the aliases that a first word of a `cmd` may still be. */
export type TaskText = { readonly yaml: string; readonly aliases: ReadonlyMap<string, string> };

/**
 * Makes the final YAML of a task. Lines of comments go first (also inside block texts), then aliases are replaced where the
 * version has them, then templates are filled. Throws TaskError. Source: ACR tasks, 2.2.
 */
export function prepareTaskText(input: TaskTextInput): TaskText {
  return prepareText(input, (yaml) => yaml);
}

/** The same of the top-level `secrets:` block alone, which is empty where there is none. Throws TaskError. */
export function prepareSecretsText(input: TaskTextInput): string {
  return prepareText(input, (yaml) => cutBlock(yaml, secretsLine).block || '{}').yaml;
}

function prepareText(input: TaskTextInput, partOf: (yaml: string) => string): TaskText {
  if (input.text.length > maxTaskLength) throw new TaskError('the task is larger than 1 MiB');
  const text = withoutComments(input.text);
  const data = templateDataOf(input);
  const surroundings = { now: input.now, budget: new TemplateBudget() };
  const fill = (template: string) => renderTemplate(template, data, surroundings);
  const { yaml, aliases } = hasAliases(text) ? withAliases(text, input, fill) : { yaml: text, aliases: new Map() };
  const rendered = fill(partOf(yaml));
  if (rendered.trim() === '') throw new TaskError('rendered template was empty');
  return { yaml: rendered, aliases };
}

/** Names of the files and addresses in `alias.src`. Throws TaskError. */
export function aliasSourcesOf(text: string): readonly string[] {
  const plain = withoutComments(text);
  return hasAliases(plain) ? (aliasBlockOf(cutBlock(plain, aliasLine).block).src ?? []) : [];
}

/** Fills the templates of a quick build, which share a budget: only the run is known. Source: ACR tasks, 2.9. */
export function runTextRenderer(run: RunVariables, now: Date): (text: string) => string {
  const surroundings = { now, budget: new TemplateBudget() };
  return (text) => renderTemplate(text, templateValueOf({ Run: run, Build: { ID: run.ID } }), surroundings);
}

/** Reads YAML as a plain value; a key that is there twice counts as it stands last. Throws TaskError. */
export function parseYaml(text: string, what: string): unknown {
  const lineCounter = new LineCounter();
  try {
    const document = parseDocument(text, { uniqueKeys: false, schema: 'core', prettyErrors: false, lineCounter });
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS({ maxAliasCount: maxYamlAliases });
  } catch (cause) {
    throw new TaskError(`${what} is not YAML that can be read: ${yamlReason(cause, lineCounter)}`, { cause });
  }
}

/** What is wrong, and where. What the parser quotes after a colon goes: a piece of a secret would not be hidden. */
function yamlReason(cause: unknown, lineCounter: LineCounter): string {
  const [reason] = (cause instanceof Error ? cause.message : String(cause)).split(/[:\\]/, 1);
  if (!(cause instanceof YAMLError)) return `${reason}`;
  const { line, col } = lineCounter.linePos(cause.pos[0]);
  return `${reason} at line ${line}, column ${col}`;
}

function withoutComments(text: string): string {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .filter((line) => !line.trimStart().startsWith('#'))
    .join('\n');
}

/** By the first line that begins with `version:`, compared as text. */
function hasAliases(text: string): boolean {
  const [, version = 'v1.0.0'] = /^version:\s*["']?([^\s"']*)/m.exec(text) ?? [];
  return version >= 'v1.1.0';
}

function templateDataOf({ valuesText, values, run, secrets }: TaskTextInput): TemplateValue {
  const file = valuesText === undefined ? {} : valuesOf(parseYaml(valuesText, 'the values file'));
  const given = Object.fromEntries(values.map(({ name, value }) => [name, value]));
  const all = { ...file, ...given };
  const texts = { RunJSON: quotedJson(run), ValuesJSON: quotedJson(all) };
  return templateValueOf({ Run: run, Build: { ID: run.ID }, Values: all, Secrets: secrets, ...texts });
}

/** As one word of a shell. Source: ACR tasks, 2.9. */
function quotedJson(value: object): string {
  return `'${JSON.stringify(value).replaceAll("'", `'"'"'`)}'`;
}

const valuesSchema = z.record(z.string(), z.unknown()).nullish();

function valuesOf(value: unknown): Record<string, unknown> {
  const parsed = valuesSchema.safeParse(value);
  if (!parsed.success) throw new TaskError('the values file is not a map of names to values');
  return parsed.data ?? {};
}

function withAliases(text: string, input: TaskTextInput, fill: (template: string) => string): TaskText {
  const { block, rest } = cutBlock(text, aliasLine);
  const { values, src, directive } = aliasBlockOf(fill(block));
  const aliases = new Map(predefinedAliases);
  for (const source of src ?? []) addAliases(aliases, aliasMapOf(source, input.aliasSources.get(source)));
  addAliases(aliases, values ?? {});
  return { yaml: expandAliases(rest, aliases, directive ?? '$'), aliases };
}

function addAliases(aliases: Map<string, string>, more: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(more)) {
    requireAliasName(name);
    aliases.set(name, value);
  }
}

/** A block of the top level: its line and those below it that are indented. */
function cutBlock(text: string, firstLine: RegExp): { readonly block: string; readonly rest: string } {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => firstLine.test(line));
  if (start < 0) return { block: '', rest: text };
  const length = lines.slice(start + 1).findIndex((line) => /^\S/.test(line) && !line.startsWith('-'));
  const end = length < 0 ? lines.length : start + 1 + length;
  return {
    block: lines.slice(start, end).join('\n'),
    rest: [...lines.slice(0, start), ...lines.slice(end)].join('\n'),
  };
}

const scalarText = z.union([z.string(), z.number(), z.boolean()]).transform(String);
const aliasBlockSchema = z.object({
  alias: z
    .object({
      values: z.record(z.string(), scalarText).nullish(),
      src: z.array(z.string()).max(20).nullish(),
      directive: z.string().nullish(),
    })
    .nullish(),
});
type AliasBlock = NonNullable<z.infer<typeof aliasBlockSchema>['alias']>;

function aliasBlockOf(block: string): AliasBlock {
  const parsed = aliasBlockSchema.safeParse(block.trim() === '' ? {} : parseYaml(block, 'the alias block'));
  if (!parsed.success) throw new TaskError('the alias block has more than a map of values, a list src and a directive');
  const { directive } = parsed.data.alias ?? {};
  if (directive) requireDirective(directive);
  return parsed.data.alias ?? {};
}

function aliasMapOf(source: string, text: string | undefined): Readonly<Record<string, string>> {
  if (text === undefined) throw new TaskError(`the alias file ${source} cannot be read`);
  const parsed = z.record(z.string(), scalarText).safeParse(parseYaml(text, `the alias file ${source}`));
  if (!parsed.success) throw new TaskError(`the alias file ${source} is not a map of names to texts`);
  return parsed.data;
}
