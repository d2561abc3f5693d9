import type { IdentityBindingView } from '../wire/admin/identity-binding-schema.ts';
import { type Command, type CommandContext, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

export const identityCommands: readonly Command[] = [
  {
    words: ['identity', 'bind'],
    purpose: 'give tokens of a managed identity to a machine, or to whoever shows a secret',
    options: [
      { name: 'identity', value: 'id', meaning: 'client id, object id, resource id or name of the identity' },
      { name: 'address', value: 'cidr', meaning: 'address or network of the machines, such as 10.1.2.3' },
      { name: 'secret', meaning: 'make a secret, for IDENTITY_HEADER; it is printed this once' },
      jsonOption,
    ],
    run: bind,
  },
  {
    words: ['identity', 'bindings'],
    purpose: 'list which machines are given tokens of which managed identity',
    options: [jsonOption],
    run: async (context, given) => {
      const bindings = await (await context.connect()).identityBindingList();
      if (given.isSet('json')) context.print(JSON.stringify(bindings, null, 2));
      else context.print(table(['ID', 'IDENTITY', 'CLIENT ID', 'BOUND TO'], bindings.map(rowOf)));
      return exitCodes.done;
    },
  },
  {
    words: ['identity', 'unbind'],
    purpose: 'take a binding back; tokens that were given by it end with the next request',
    operands: [{ name: 'id', meaning: 'id of the binding' }],
    run: async (context, given) => {
      const { id } = await (await context.connect()).identityUnbind(given.operand('id'));
      context.print(`The binding ${id} is gone.`);
      return exitCodes.done;
    },
  },
];

async function bind(context: CommandContext, given: Given) {
  const identity = given.option('identity');
  const address = given.option('address');
  if (identity === undefined || (address !== undefined) === given.isSet('secret')) {
    context.complain('berth: give --identity, and either --address or --secret');
    return exitCodes.usage;
  }
  const client = await context.connect();
  const binding = await client.identityBind({ identity, ...(address === undefined ? {} : { address }) });
  if (given.isSet('json')) context.print(JSON.stringify(binding, null, 2));
  else if (binding.secret !== undefined) context.print(binding.secret);
  else context.print(`${binding.identity.name} is bound to ${binding.address} as ${binding.id}.`);
  return exitCodes.done;
}

function rowOf({ id, identity, address, hint }: IdentityBindingView): string[] {
  return [id, identity.name, identity.clientId, address ?? `secret beginning with ${hint}`];
}
