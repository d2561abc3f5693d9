import { keyPurposeSchema, type SigningKeyView } from '../wire/admin/signing-key-schema.ts';
import { type Command, exitCodes, jsonOption } from './command.ts';
import { table } from './table.ts';

export const keyCommands: readonly Command[] = [
  {
    words: ['key', 'list'],
    purpose: 'list the keys that verify tokens',
    options: [jsonOption],
    run: async (context, given) => {
      const keys = await (await context.connect()).keyList();
      if (given.isSet('json')) context.print(JSON.stringify(keys, null, 2));
      else context.print(table(['ID', 'PURPOSE', 'SIGNS', 'CREATED', 'VERIFIES UNTIL'], keys.map(rowOf)));
      return exitCodes.done;
    },
  },
  {
    words: ['key', 'rotate'],
    purpose: 'sign with a new key from now on; tokens that were given before stay valid',
    operands: [{ name: 'purpose', meaning: 'what it signs', choices: keyPurposeSchema.options }],
    run: async (context, given) => {
      const purpose = keyPurposeSchema.parse(given.operand('purpose'));
      const { id } = await (await context.connect()).keyRotate({ purpose });
      context.print(`The key ${id} signs from now on.`);
      return exitCodes.done;
    },
  },
  {
    words: ['key', 'revoke'],
    purpose: 'end a key that got into wrong hands; every token that it signed is refused from now on',
    operands: [{ name: 'id', meaning: 'id of the key' }],
    run: async (context, given) => {
      const { id, purpose } = await (await context.connect()).keyRevoke(given.operand('id'));
      const whose = purpose === 'tenantToken' ? 'the control plane' : 'registries';
      context.print(`The key ${id} is gone. Tokens for ${whose} that it signed are refused: clients sign in again.`);
      return exitCodes.done;
    },
  },
];

function rowOf({ id, purpose, signs, createdAt, expiresAt }: SigningKeyView): string[] {
  return [id, purpose, signs ? 'yes' : 'no', createdAt, expiresAt];
}
