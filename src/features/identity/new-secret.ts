import type { Ids } from '../../platform/ids.ts';

/** A generated secret: 256 random bits as 52 lower-case letters and digits, safe in shells, headers and URLs. */
export function newSecret(ids: Ids): string {
  return ids.uid() + ids.uid();
}
