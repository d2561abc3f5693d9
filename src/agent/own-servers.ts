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
