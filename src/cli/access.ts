import type { AccessExplanationView } from '../wire/admin/access-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';

export const accessCommands: readonly Command[] = [
  {
    words: ['access', 'explain'],
    purpose: 'say whether somebody may do something, and by what',
    options: [
      { name: 'principal', value: 'who', meaning: 'object id, application id, user or token name, or anonymous' },
      { name: 'action', value: 'action', meaning: 'pull, push, delete, ..., or an operation of the resource manager' },
      {
        name: 'scope',
        value: 'scope',
        meaning: 'registry, registry/repository, registry/repository:tag or @digest, or an ARM id',
      },
      { name: 'address', value: 'ip', meaning: 'where the request comes from, for network rules' },
      jsonOption,
    ],
    run: explain,
  },
];

async function explain(context: CommandContext, given: Given): Promise<ExitCode> {
  const [principal, action, scope] = ['principal', 'action', 'scope'].map((name) => given.option(name));
  if (principal === undefined || action === undefined || scope === undefined) {
    context.complain('berth: give --principal, --action and --scope');
    return exitCodes.usage;
  }
  const address = given.option('address');
  const client = await context.connect();
  const question = { principal, action, scope, ...(address === undefined ? {} : { address }) };
  const explanation = await client.accessExplain(question);
  context.print(given.isSet('json') ? JSON.stringify(explanation, null, 2) : linesOf(explanation).join('\n'));
  return exitCodes.done;
}

function linesOf({ principal, allowed, by, reason, remedy, considered }: AccessExplanationView): readonly string[] {
  const verdict = allowed ? `allowed: ${by}` : `denied: ${reason}`;
  return [
    `${principal.name} (${principal.kind}) is ${verdict}`,
    ...(remedy === undefined ? [] : [remedy]),
    ...(considered.length === 0 ? [] : ['Looked at:']),
    ...considered.map((each) => {
      const gives = each.gives.length === 0 ? 'gives nothing here' : `gives ${each.gives.join(', ')}`;
      return `  ${each.by} ${gives}${each.note === undefined ? '' : ` (${each.note})`}`;
    }),
  ];
}
