import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type AttributeName, attributeNames } from '../../features/content/attributes.ts';
import { attributeChangeSchema } from '../../wire/acr/attributes-schema.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';

const maxBodyBytes = 64 * 1024;

/** The attributes that a PATCH sets. Throws `requestInvalid`, `bodyTooLarge`. */
export async function attributesIn(
  c: Context<Env>,
  limits: TransferLimits,
): Promise<{ readonly [name in AttributeName]?: boolean | undefined }> {
  const bytes = await bytesIn(bodyIn(c, limits), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  const { data, error } = attributeChangeSchema.safeParse(parsed(bytes));
  if (error !== undefined)
    throw new BerthError('requestInvalid', {
      body: `a JSON object with any of ${attributeNames.join(', ')} as true or false is expected`,
    });
  return Object.fromEntries(attributeNames.map((name) => [name, data[name] ?? undefined]));
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // Said by the schema in the words of this route.
    return undefined;
  }
}
