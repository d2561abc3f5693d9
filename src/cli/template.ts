import { readFileSync } from 'node:fs';
import {
  type RepositoryTemplateBody,
  type RepositoryTemplatesView,
  repositoryTemplatesSchema,
} from '../wire/admin/repository-template-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

const registryOption = { name: 'registry', meaning: 'of this registry (default: local)', value: 'NAME' };

/** What new repositories of a registry begin with. */
export const templateCommands: readonly Command[] = [
  {
    words: ['template', 'show'],
    purpose: 'show what new repositories begin with, by the beginning of their names',
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      return show(context, given, await client.repositoryTemplatesShow(registryOf(given)));
    },
  },
  {
    words: ['template', 'set'],
    purpose: 'set what new repositories begin with; an empty list takes all templates away',
    options: [
      { name: 'templates', meaning: 'file with a JSON list', value: 'FILE' },
      { name: 'existing', meaning: 'repositories that exist take over the rules for tags that are written once' },
      registryOption,
      jsonOption,
    ],
    run: async (context, given) => {
      const file = given.option('templates');
      if (file === undefined) return usage(context, '--templates is needed: a file with a JSON list');
      const read = templatesIn(file);
      if ('problem' in read) return usage(context, read.problem);
      const client = await context.connect();
      const change = { ...read, appliesToExisting: given.isSet('existing') };
      return show(context, given, await client.repositoryTemplatesSet(registryOf(given), change));
    },
  },
];

function registryOf(given: Given): string {
  return given.option('registry') ?? 'local';
}

function templatesIn(file: string): RepositoryTemplatesView | { readonly problem: string } {
  try {
    const parsed = repositoryTemplatesSchema.safeParse({ templates: JSON.parse(readFileSync(file, 'utf8')) });
    if (parsed.success) return parsed.data;
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    return { problem: `${file} holds no templates: ${problems.join('; ')}` };
  } catch (error) {
    return { problem: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function usage(context: CommandContext, text: string): ExitCode {
  context.complain(`berth: ${text}`);
  return exitCodes.usage;
}

function show(context: CommandContext, given: Given, view: RepositoryTemplatesView): ExitCode {
  if (given.isSet('json')) context.print(JSON.stringify(view, null, 2));
  else if (view.templates.length === 0) context.print('no templates: new repositories begin with everything on');
  else context.print(table(['PREFIX', 'OFF', 'TAGS WRITTEN ONCE'], view.templates.map(rowOf)));
  return exitCodes.done;
}

function rowOf({ prefix, attributes, immutableTags }: RepositoryTemplateBody): readonly string[] {
  const off = Object.entries(attributes).filter(([, isOn]) => isOn === false);
  const tags = immutableTags.map(({ tags: pattern }) => pattern);
  return [prefix === '' ? '(every)' : prefix, off.map(([name]) => name).join(', ') || '-', tags.join(', ') || '-'];
}
