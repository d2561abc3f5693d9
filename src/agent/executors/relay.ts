import { lookup } from 'node:dns/promises';
import { connect, isIPv4, type Socket, type TcpNetConnectOpts } from 'node:net';
import { joinSockets } from './user-cell.ts';

export type RelayTarget = { readonly host: string; readonly port: number };

/** Connections of builds to a server on this machine come from here: it shows people and programs of the machine more. */
const buildsAddress = '127.0.0.2';

/** Carries connections of a cell to one address outside, whatever they say. */
export function createRelay(target: RelayTarget): (connection: Socket) => void {
  return (connection) => {
    connection.on('error', () => connection.destroy());
    routeTo(target).then(
      (route) => {
        if (connection.destroyed) return;
        joinSockets(connection, connect({ ...route, timeout: 0 }));
        connection.resume();
      },
      () => connection.destroy(),
    );
  };
}

/** A server that is reached at ::1 alone has builds for its neighbours: IPv6 has one address of the machine itself. */
async function routeTo({ host, port }: RelayTarget): Promise<TcpNetConnectOpts> {
  const addresses = (await lookup(host, { all: true })).map(({ address }) => address);
  const here = addresses.find((address) => isIPv4(address) && address.startsWith('127.'));
  return here === undefined ? { host, port } : { host: here, port, localAddress: buildsAddress };
}
