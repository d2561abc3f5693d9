import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { type AttributeName, attributeNames } from '../../features/content/attributes.ts';
import { attributeChangeSchema } from '../../wire/acr/attributes-schema.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { jsonIn } from './json-body.ts';

/** The attributes that a PATCH sets. Throws `requestInvalid`, `bodyTooLarge`. */
export async function attributesIn(
  c: Context<Env>,
  limits: TransferLimits,
): Promise<{ readonly [name in AttributeName]?: boolean | undefined }> {
  const { data, error } = attributeChangeSchema.safeParse(await jsonIn(c, limits));
  if (error !== undefined)
    throw new BerthError('requestInvalid', {
      body: `a JSON object with any of ${attributeNames.join(', ')} as true or false is expected`,
    });
  return Object.fromEntries(attributeNames.map((name) => [name, data[name] ?? undefined]));
}
