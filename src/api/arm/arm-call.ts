import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import { parseStrictJson, StrictJsonError } from '../../core/strict-json.ts';
import type { OperationRights } from '../../features/access/role-operations.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Author } from '../../features/resources/resource.ts';
import type { Preconditions } from '../../features/resources/resources.ts';
import { isJsonObject, type Json, type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import type { Env } from '../middleware/env.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';
import type { ArmCaller } from './arm-caller.ts';

/** One request to the resource manager, after its caller was allowed it. */
export type ArmCall = {
  readonly c: Context<Env>;
  readonly author: Author;
  /** What the caller may do: for lists, which leave out the rest. */
  readonly rights: OperationRights;
  /** For what the body asks beyond the address. Throws `denied`. */
  readonly require: ArmCaller['require'];
  readonly apiVersion: string;
  readonly segments: readonly string[];
};

const maxBodyBytes = 1024 * 1024;

/** The JSON object of the body; an empty one when there is none. Throws `bodyTooLarge`, `requestInvalid`. */
export async function bodyOf(c: Context<Env>, transfer: TransferLimits): Promise<JsonObject> {
  const bytes = await bytesIn(bodyIn(c, transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  if (bytes.length === 0) return {};
  const value = jsonObjectSchema.safeParse(parseBody(bytes)).data;
  if (value === undefined || !isJsonObject(value)) throw contentInvalid('it is not a JSON object');
  return value;
}

export function preconditionsOf(c: Context<Env>): Preconditions {
  const ifMatch = c.req.header('if-match');
  const ifNoneMatch = c.req.header('if-none-match');
  return {
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
  };
}

/** `null` in a whole resource says the same as leaving the member out. */
export function withoutNulls(value: JsonObject): JsonObject {
  const kept = Object.entries(value).filter(([, each]) => each !== null);
  return Object.fromEntries(
    kept.map(([name, each]): [string, Json] => [name, isJsonObject(each) ? withoutNulls(each) : each]),
  );
}

function parseBody(bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(bytes);
  } catch (error) {
    if (error instanceof StrictJsonError) throw contentInvalid(error.message);
    throw error;
  }
}

function contentInvalid(reason: string): BerthError {
  return refuse('requestInvalid', {
    message: `The request content was invalid and could not be deserialized: ${reason}.`,
  });
}
