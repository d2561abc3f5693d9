import { byteSizeText } from '../core/byte-size.ts';
import type { RegistryView } from '../wire/admin/registry-schema.ts';
import { type Command, type CommandContext, exitCodes, type Given, jsonOption } from './command.ts';
import { table } from './table.ts';

const name = { name: 'name', meaning: 'registry name, 5 to 50 letters and digits' };
const skus = ['Basic', 'Standard', 'Premium'] as const;

export const registryCommands: readonly Command[] = [
  {
    words: ['registry', 'create'],
    purpose: 'make a registry',
    operands: [name],
    options: [{ name: 'sku', meaning: 'Basic, Standard or Premium (the default)', value: 'SKU' }, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const asked = given.option('sku');
      const sku = skus.find((known) => known.toLowerCase() === asked?.toLowerCase());
      if (asked !== undefined && sku === undefined) {
        context.complain(`--sku: one of ${skus.join(', ')} is needed`);
        return exitCodes.usage;
      }
      return show(context, given, [await client.registryCreate({ name: given.operand('name'), ...(sku && { sku }) })]);
    },
  },
  {
    words: ['registry', 'list'],
    purpose: 'list the registries',
    options: [jsonOption],
    run: async (context, given) => {
      const registries = await (await context.connect()).registryList();
      if (!given.isSet('json')) return show(context, given, registries);
      context.print(JSON.stringify(registries, null, 2));
      return exitCodes.done;
    },
  },
  {
    words: ['registry', 'show'],
    purpose: 'show one registry',
    operands: [name],
    options: [jsonOption],
    run: async (context, given) =>
      show(context, given, [await (await context.connect()).registryShow(given.operand('name'))]),
  },
];

/** Registries as people read them. */
export function registryTable(registries: readonly RegistryView[]): string {
  const rows = registries.map((registry) => [
    registry.name,
    registry.loginServer,
    registry.sku,
    registry.adminUserEnabled ? 'on' : 'off',
    registry.anonymousPullEnabled ? 'on' : 'off',
    registry.throttlingEnabled ? 'on' : 'off',
    registry.storageLimitBytes === null ? 'default' : byteSizeText(registry.storageLimitBytes),
  ]);
  const head = ['NAME', 'LOGIN SERVER', 'SKU', 'ADMIN USER', 'ANONYMOUS PULL', 'THROTTLING', 'STORAGE LIMIT'];
  return table(head, rows);
}

function show(context: CommandContext, given: Given, registries: readonly RegistryView[]): 0 {
  context.print(given.isSet('json') ? JSON.stringify(registries[0], null, 2) : registryTable(registries));
  return exitCodes.done;
}
