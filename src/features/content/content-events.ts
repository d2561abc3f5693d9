import type { NewEvent } from '../../platform/journal/journal.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import type { Authority } from '../access/authority.ts';
import type { Place } from './place.ts';

/** Makes the events of one request on one repository. */
export type EventOf = (type: string, data: Readonly<Record<string, unknown>>) => NewEvent;

export function eventsOf(place: Place, authority: Authority, region: string): EventOf {
  const stream = streamOf(place.registryUid, region);
  const actor = authority.principal.uid;
  const common = { repository: place.repository, ...requestOf(authority) };
  return (type, data) => ({ stream, type, version: 1, actor, data: { ...common, ...data } });
}

/** Who asked, from where: what those who are told of the change want to know. */
function requestOf({ circumstances, principal }: Authority): Readonly<Record<string, unknown>> {
  if (circumstances === undefined) return {};
  const { correlationId: id, address, userAgent } = circumstances;
  return {
    request: {
      id,
      address,
      name: principal.name,
      kind: principal.kind,
      ...(userAgent === undefined ? {} : { userAgent }),
    },
  };
}
