import type { Context } from 'hono';
import type { z } from 'zod';
import { BerthError } from '../../core/errors.ts';
import type { AttributeChange, ManifestChange } from '../../features/content/attribute-changes.ts';
import { attributeNames } from '../../features/content/attributes.ts';
import { attributeChangeSchema, manifestChangeSchema, quarantineStates } from '../../wire/acr/attributes-schema.ts';
import type { Env } from '../middleware/env.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { jsonIn } from './json-body.ts';

/** The attributes that a PATCH sets. Throws `requestInvalid`, `bodyTooLarge`. */
export async function attributesIn(c: Context<Env>, limits: TransferLimits): Promise<AttributeChange> {
  const { data, error } = attributeChangeSchema.safeParse(await jsonIn(c, limits));
  if (error !== undefined)
    throw new BerthError('requestInvalid', {
      body: `a JSON object with any of ${attributeNames.join(', ')} as true or false is expected`,
    });
  return settingsOf(data);
}

/** The same of a manifest. */
export async function manifestChangeIn(c: Context<Env>, limits: TransferLimits): Promise<ManifestChange> {
  const { data, error } = manifestChangeSchema.safeParse(await jsonIn(c, limits));
  if (error !== undefined)
    throw new BerthError('requestInvalid', {
      body: `a JSON object with any of ${attributeNames.join(', ')} as true or false, quarantineState (${quarantineStates.join(', ')}) and quarantineDetails (JSON as text, with any of scanner, state, link and result) is expected`,
    });
  const { quarantineState, quarantineDetails } = data;
  if ((quarantineState ?? quarantineDetails ?? undefined) === undefined) return settingsOf(data);
  const quarantine = { state: quarantineState ?? undefined, details: quarantineDetails ?? undefined };
  return { ...settingsOf(data), quarantine };
}

function settingsOf(data: z.infer<typeof attributeChangeSchema>): AttributeChange {
  return Object.fromEntries(attributeNames.map((name) => [name, data[name] ?? undefined]));
}
