import type { TaskGraphView, TaskRebuildRequest } from '../wire/admin/task-schema.ts';
import { type Command, exitCodes, jsonOption, type Option } from './command.ts';
import { table } from './table.ts';

const registryOption: Option = { name: 'registry', meaning: 'of this registry (default: local)', value: 'NAME' };

export const taskCommands: readonly Command[] = [
  {
    words: ['task', 'graph'],
    purpose: 'show which images stand on which, by the tasks that make them',
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const graph = await client.taskGraph(given.option('registry') ?? 'local');
      context.print(given.isSet('json') ? JSON.stringify(graph, null, 2) : graphLines(graph).join('\n'));
      return exitCodes.done;
    },
  },
  {
    words: ['task', 'aliases'],
    purpose: 'show which images bare words stand for in the steps of tasks, and which of them are missing',
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const { aliases } = await client.taskAliases(given.option('registry') ?? 'local');
      const state = (isThere: boolean | null) => (isThere === null ? 'elsewhere' : isThere ? 'there' : 'missing');
      const rows = aliases.map(({ name, image, isThere }) => [name, image, state(isThere)]);
      context.print(given.isSet('json') ? JSON.stringify({ aliases }, null, 2) : table(['WORD', 'IMAGE', ''], rows));
      return exitCodes.done;
    },
  },
  {
    words: ['task', 'rebuild'],
    purpose: 'run tasks and all that stand on what they make, one after the other',
    options: [
      { name: 'task', meaning: 'this task, and what stands on it', value: 'TASK' },
      {
        name: 'image',
        meaning: 'what stands on this image: REPOSITORY:TAG, or with the host of another registry',
        value: 'IMAGE',
      },
      registryOption,
      jsonOption,
    ],
    run: async (context, given) => {
      const [task, image] = [given.option('task'), given.option('image')];
      if ((task === undefined) === (image === undefined)) {
        context.complain('say what to rebuild: --task or --image, one of them');
        return exitCodes.usage;
      }
      const request: TaskRebuildRequest = task === undefined ? { image: image ?? '' } : { task };
      const client = await context.connect();
      const { steps } = await client.taskRebuild(given.option('registry') ?? 'local', request);
      const rows = steps.map((step) => [step.task, step.waitsFor.join(', ') || 'nothing, it is queued']);
      context.print(given.isSet('json') ? JSON.stringify({ steps }, null, 2) : table(['TASK', 'WAITS FOR'], rows));
      return exitCodes.done;
    },
  },
  {
    words: ['task', 'webhooks'],
    purpose: 'show what a git host has to call to start a task, with its secret',
    operands: [{ name: 'task', meaning: 'name of the task' }],
    options: [registryOption, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const view = await client.taskWebhooks(given.option('registry') ?? 'local', given.operand('task'));
      const lines = view.webhooks.flatMap(({ trigger, repository, url, secret, isMade, problem }) => [
        `${trigger}: ${repository}`,
        `  address  ${url ?? 'none that a git host could call: set --git-hooks-url; until then the repository is looked at'}`,
        `  secret   ${secret}`,
        `  made     ${isMade ? 'by this server, with the access token of the task' : 'not by this server'}`,
        ...(problem === null ? [] : [`  problem  ${problem}`]),
      ]);
      const text = lines.length === 0 ? 'no git repository starts this task' : lines.join('\n');
      context.print(given.isSet('json') ? JSON.stringify(view, null, 2) : text);
      return exitCodes.done;
    },
  },
];

function graphLines({ tasks }: TaskGraphView): readonly string[] {
  if (tasks.length === 0) return ['the registry has no tasks'];
  return tasks.flatMap(({ name, makes, standsOn, waitsFor }) => [
    `${name}${makes.length === 0 && standsOn.length === 0 ? ' (no successful run has told what it stands on)' : ''}`,
    ...makes.map((image) => `  makes      ${image}`),
    ...standsOn.map(({ image, kind }) => `  stands on  ${image}${kind === 'buildtime' ? ' (while it is built)' : ''}`),
    ...waitsFor.map((task) => `  waits for  ${task}`),
  ]);
}
