import { type Command, exitCodes, jsonOption } from './command.ts';
import { table } from './table.ts';

/** What agents of builds show the server. */
export const agentTokenCommands: readonly Command[] = [
  {
    words: ['agent-token', 'create'],
    purpose: 'make a token for agents of a pool; it is shown once',
    options: [
      { name: 'pool', meaning: 'name of the agent pool; default is the one that every registry has', value: 'NAME' },
      { name: 'registry', meaning: 'registry of the pool (default: local)', value: 'NAME' },
      jsonOption,
    ],
    run: async (context, given) => {
      const registry = given.option('registry');
      const pool = given.option('pool') ?? 'default';
      const client = await context.connect();
      const made = await client.agentTokenCreate({ pool, ...(registry === undefined ? {} : { registry }) });
      context.print(given.isSet('json') ? JSON.stringify(made, null, 2) : made.token);
      return exitCodes.done;
    },
  },
  {
    words: ['agent-token', 'list'],
    purpose: 'list the tokens of agents, without the tokens themselves',
    options: [jsonOption],
    run: async (context, given) => {
      const tokens = await (await context.connect()).agentTokenList();
      if (given.isSet('json')) context.print(JSON.stringify(tokens, null, 2));
      else
        context.print(
          table(
            ['ID', 'POOL', 'REGISTRY', 'CREATED'],
            tokens.map(({ id, pool, registry, createdAt }) => [id, pool, registry ?? '', createdAt]),
          ),
        );
      return exitCodes.done;
    },
  },
  {
    words: ['agent-token', 'delete'],
    purpose: 'take a token back: agents that have it are refused from now on',
    operands: [{ name: 'id', meaning: 'id of the token, as the list shows it' }],
    run: async (context, given) => {
      const { id } = await (await context.connect()).agentTokenDelete(given.operand('id'));
      context.print(`The token ${id} is gone.`);
      return exitCodes.done;
    },
  },
];
