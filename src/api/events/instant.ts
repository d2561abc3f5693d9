import { BerthError } from '../../core/errors.ts';
import { parseInstant } from '../../core/instant.ts';

/** RFC 3339 as integer microseconds. Throws `requestInvalid`. */
export function instantOf(name: string, text: string): number {
  const micros = parseInstant(text);
  if (micros === undefined)
    throw new BerthError('requestInvalid', { [name]: 'an instant is needed: 2030-01-31T12:00:00Z' });
  return micros;
}
