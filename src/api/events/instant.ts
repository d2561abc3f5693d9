import { BerthError } from '../../core/errors.ts';

/** RFC 3339 as integer microseconds. Throws `requestInvalid`. */
export function instantOf(name: string, text: string): number {
  const isInstant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = isInstant ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new BerthError('requestInvalid', { [name]: 'an instant is needed: 2030-01-31T12:00:00Z' });
  return ms * 1_000;
}
