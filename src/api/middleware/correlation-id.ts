import type { Ids } from '../../platform/ids.ts';

export const correlationHeader = 'x-ms-correlation-request-id';

const guid = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** The caller's own id when it is a GUID, else a new one. */
export function correlationIdOf(sent: string | undefined, ids: Ids): string {
  return sent !== undefined && guid.test(sent) ? sent : ids.guid();
}
