import { type CredentialView, passwordNames } from '../wire/admin/credential-schema.ts';
import { type Command, type CommandContext, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

const registry = { name: 'registry', meaning: 'registry name' };

export const credentialCommands: readonly Command[] = [
  {
    words: ['credential', 'show'],
    purpose: "show a registry's admin user and its two passwords",
    operands: [registry],
    options: [
      jsonOption,
      { name: 'value', meaning: 'print the first password and nothing else, for docker login --password-stdin' },
    ],
    run: async (context, given) =>
      show(context, given, await (await context.connect()).credentialShow(given.operand('registry'))),
  },
  {
    words: ['credential', 'renew'],
    purpose: 'replace one of the two passwords; the old one stops working at once',
    operands: [registry, { name: 'password', meaning: passwordNames.join(' or '), choices: passwordNames }],
    options: [jsonOption],
    run: async (context, given) => {
      const password = passwordNames.find((known) => known === given.operand('password')) ?? 'password';
      return show(context, given, await (await context.connect()).credentialRenew(given.operand('registry'), password));
    },
  },
  {
    words: ['credential', 'enable'],
    purpose: "let a registry's admin user sign in",
    operands: [registry],
    run: (context, given) => setEnabled(context, given.operand('registry'), true),
  },
  {
    words: ['credential', 'disable'],
    purpose: "refuse a registry's admin user from the next request on",
    operands: [registry],
    run: (context, given) => setEnabled(context, given.operand('registry'), false),
  },
];

function show(context: CommandContext, given: Given, credential: CredentialView): 0 {
  if (given.isSet('json')) context.print(JSON.stringify(credential, null, 2));
  else if (given.isSet('value')) context.print(credential.passwords[0]?.value ?? '');
  else {
    const rows = credential.passwords.map(({ name, value }) => [credential.username, name, value]);
    context.print(table(['USERNAME', 'NAME', 'PASSWORD'], rows));
  }
  return exitCodes.done;
}

async function setEnabled(context: CommandContext, registryName: string, adminUserEnabled: boolean): Promise<0> {
  const registry = await (await context.connect()).registryUpdate(registryName, { adminUserEnabled });
  context.print(`The admin user of ${registry.name} is ${registry.adminUserEnabled ? 'enabled' : 'disabled'}.`);
  return exitCodes.done;
}
