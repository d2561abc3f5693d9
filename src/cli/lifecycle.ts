import { readFileSync } from 'node:fs';
import type { AdminClient } from '../client/admin-client.ts';
import {
  type LifecycleItemView,
  type LifecycleRuleBody,
  type LifecycleRunView,
  type LifecycleView,
  lifecycleRulesSchema,
} from '../wire/admin/lifecycle-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

const registryOption = { name: 'registry', meaning: 'of this registry (default: local)', value: 'NAME' };
const rulesOption = { name: 'rules', meaning: 'file with the rules, a JSON list', value: 'FILE' };

/** Rules by which content of a registry leaves by itself. */
export const lifecycleCommands: readonly Command[] = [
  {
    words: ['lifecycle', 'show'],
    purpose: 'show the rules of a registry and their last runs, or what one run did',
    options: [{ name: 'run', meaning: 'what this run did', value: 'ID' }, registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const id = given.option('run');
      if (id !== undefined) return await follow(context, given, client, id);
      const view = await client.lifecycleShow(registryOf(given));
      return print(context, given, view, policyLines(view));
    },
  },
  {
    words: ['lifecycle', 'set'],
    purpose: 'set the rules of a registry; an empty list takes them away',
    options: [
      rulesOption,
      { name: 'every', meaning: 'hours from one run to the next (default: 24)', value: 'HOURS' },
      registryOption,
      jsonOption,
    ],
    run: async (context, given) => {
      const every = given.option('every') ?? '24';
      if (!/^\d{1,4}$/.test(every) || Number(every) === 0) return usage(context, '--every needs a number of hours');
      const rules = rulesIn(given);
      if (rules === undefined) return usage(context, '--rules is needed: a file with the rules');
      if ('problem' in rules) return usage(context, rules.problem);
      const client = await context.connect();
      const view = await client.lifecycleSet(registryOf(given), { rules: rules.rules, everyHours: Number(every) });
      return print(context, given, view, policyLines(view));
    },
  },
  {
    words: ['lifecycle', 'preview'],
    purpose: 'show what the rules would delete now, and what they keep; deletes nothing',
    options: [{ ...rulesOption, meaning: 'other rules than those that are set' }, registryOption, jsonOption],
    run: async (context, given) => {
      const rules = rulesIn(given);
      if (rules !== undefined && 'problem' in rules) return usage(context, rules.problem);
      const client = await context.connect();
      let code: ExitCode = exitCodes.done;
      for await (const line of client.lifecyclePreview(registryOf(given), rules ?? {})) {
        if ('error' in line) {
          code = exitCodes.failed;
          context.complain(`berth: ${line.error}`);
        } else if (given.isSet('json')) context.print(JSON.stringify(line));
        else context.print('outcome' in line ? itemLine(line) : `would delete ${totalsText(line)}`);
      }
      return code;
    },
  },
  {
    words: ['lifecycle', 'run'],
    purpose: 'apply the rules now, and show what they do',
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const { run } = await client.lifecycleRun(registryOf(given));
      return await follow(context, given, client, run.id);
    },
  },
];

const pollMs = 500;

/** Prints what a run does until it has ended. */
async function follow(context: CommandContext, given: Given, client: AdminClient, id: string): Promise<ExitCode> {
  const say = (value: object, text: string) => context.print(given.isSet('json') ? JSON.stringify(value) : text);
  for (let last = 0; ; ) {
    const page = await client.lifecycleRunPage(registryOf(given), id, last);
    for (const item of page.items) say(item, itemLine(item));
    const isMore = page.last > last;
    last = page.last;
    if (isMore) continue;
    if (page.run.endedAt === null) await new Promise((resolve) => setTimeout(resolve, pollMs));
    else {
      say(page.run, `deleted ${totalsText(page.run)}`);
      if (page.run.problem === null) return exitCodes.done;
      context.complain(`berth: ${page.run.problem}`);
      return exitCodes.failed;
    }
  }
}

function registryOf(given: Given): string {
  return given.option('registry') ?? 'local';
}

/** Undefined where no file is named. */
function rulesIn(given: Given): { readonly rules: LifecycleRuleBody[] } | { readonly problem: string } | undefined {
  const file = given.option('rules');
  if (file === undefined) return undefined;
  try {
    const parsed = lifecycleRulesSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    if (parsed.success) return { rules: parsed.data };
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the list'}: ${message}`);
    return { problem: `${file} holds no rules: ${problems.join('; ')}` };
  } catch (error) {
    return { problem: `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}

function print(context: CommandContext, given: Given, value: object, lines: readonly string[]): ExitCode {
  context.print(given.isSet('json') ? JSON.stringify(value, null, 2) : lines.join('\n'));
  return exitCodes.done;
}

function usage(context: CommandContext, text: string): ExitCode {
  context.complain(`berth: ${text}`);
  return exitCodes.usage;
}

function policyLines({ rules, everyHours, nextRunAt, runs }: LifecycleView): readonly string[] {
  if (rules.length === 0) return ['no rules: nothing leaves by them', ...runLines(runs)];
  const rows = rules.map((rule) => [rule.name, rule.repositories, rule.tags, actionText(rule)]);
  return [
    table(['RULE', 'REPOSITORIES', 'TAGS', 'WHAT'], rows),
    `every ${everyHours} hours, next at ${nextRunAt}`,
    ...runLines(runs),
  ];
}

function runLines(runs: readonly LifecycleRunView[]): readonly string[] {
  if (runs.length === 0) return [];
  const rows = runs.map((run) => [run.id, run.askedAt, run.endedAt ?? 'goes on', totalsText(run)]);
  return ['', table(['RUN', 'ASKED', 'ENDED', 'DELETED'], rows)];
}

function actionText(rule: LifecycleRuleBody): string {
  switch (rule.action) {
    case 'keepMatching':
      return 'keep';
    case 'keepLast':
      return `keep the newest ${rule.count}`;
    case 'keepPulled':
      return `keep what was pulled within ${rule.within}`;
    case 'deleteOlder': {
      const what = { all: 'tags and untagged manifests', tags: 'tags', untagged: 'untagged manifests' }[rule.what];
      return `delete ${what} not changed for ${rule.olderThan}`;
    }
  }
}

function totalsText({ tags, manifests, freedBytes }: Pick<LifecycleRunView, 'tags' | 'manifests' | 'freedBytes'>) {
  return `${tags} tags and ${manifests} manifests, ${freedBytes} bytes`;
}

const outcomeTexts = {
  deleted: 'deleted',
  wouldDelete: 'would delete',
  changed: 'changed meanwhile, left',
  skipped: 'left',
  kept: 'keeps',
} as const;

function itemLine({ repository, tag, digest, rule, reason, outcome, why, freedBytes }: LifecycleItemView): string {
  const name = tag === null ? `${repository}@${digest}` : `${repository}:${tag}`;
  const by = rule === null ? reason : `${rule}: ${reason}`;
  const bytes = freedBytes > 0 ? `, ${freedBytes} bytes` : '';
  return `${outcomeTexts[outcome]} ${name} (${why ?? by}${bytes})`;
}
