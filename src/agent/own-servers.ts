import type { Clock } from '../platform/clock.ts';
import { createOutbound, type Outbound } from '../platform/outbound/outbound.ts';
import type { RunOrder } from '../wire/builds/agent-protocol.ts';

/** Registries of one installation are names of one server: their addresses differ in the first label alone. */
export function ownServers({ variables, credentials, publicServers = [] }: RunOrder): readonly string[] {
  const parent = (server: string) => server.slice(server.indexOf('.'));
  const others = [...credentials.map(({ server }) => server), ...publicServers].filter(
    (server) => parent(server) === parent(variables.Registry),
  );
  return [...new Set([variables.Registry, ...others])];
}

/** Their names without ports. */
export function hostsOf(order: RunOrder): readonly string[] {
  return ownServers(order).map((server) => server.replace(/:\d+$/, ''));
}

/** Where that server is reached from this machine. */
export function registryTarget({ registryUrl }: RunOrder): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(registryUrl);
  return { host: hostname, port: Number(port || 443) };
}

/** Reaches the run's own installation alone, wherever that is: nobody but the server chose the address. */
export function openOwnRegistry(order: RunOrder, clock: Clock): Outbound {
  const target = registryTarget(order);
  const ca = order.caCertificate === undefined ? [] : [order.caCertificate];
  return createOutbound({ allow: [], hosts: new Map(hostsOf(order).map((name) => [name, target])), clock, ca });
}
