import { BerthError } from '../../core/errors.ts';

const general: ReadonlySet<string> = new Set([
  'unauthorized',
  'denied',
  'registryUnknown',
  'busy',
  'storageFull',
  'storageReadOnly',
  'internal',
]);

/** What is wrong with more than the one thing that is worked on: the next would fail alike. */
export function isGeneral(error: unknown): boolean {
  return error instanceof BerthError && general.has(error.error);
}
