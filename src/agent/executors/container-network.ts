import type { Cell } from './cell.ts';

/** Where a container's network is, and the names it sees: files in the cell. */
export type JoinedNetwork = { readonly namespace: string; readonly hostsFile: string; readonly address: string };

export type ContainerNetworks = {
  /** Joins a container to a network of the run, which is made when its first one comes; undefined is that of containers that name none. */
  readonly join: (name: string, network: string | undefined) => Promise<JoinedNetwork>;
};

/** Of all networks of a run, for what goes past its proxy. */
export const containerAddresses = '10.88.0.0/13';

/** Each has its number in the last 12 bits of its address. */
const maxContainers = 3_999;
const maxNetworks = 112;

/**
 * Makes a network of its own for a container, joined to a bridge. $1 name, $2 link, $3 address with its bits, $4 bridge, $5 address of
 * the bridge. Not by `ip -n`, which takes /sys away before it mounts another: the kernel lets nobody mount one who has none.
 */
const joinScript = `
ip netns add "$1"
ip link add "$2" type veth peer name eth0 netns "$1"
ip link set "$2" master "$4" up
in_it() { nsenter --net="/run/netns/$name" ip "$@"; }
name=$1
in_it address add "$3" dev eth0
in_it link set eth0 up
in_it link set lo up
in_it route add default via "$5"
`;

/** $1 bridge, $2 its address with its bits. Nothing passes from one bridge to another: the cell forwards nothing. */
const bridgeScript = `
ip link add "$1" type bridge
ip address add "$2" dev "$1"
ip link set "$1" up
`;

/**
 * Containers of one network reach each other by the ids of their steps, those that come later too: they read one file. They
 * reach none of another network, and all of them the doors of the cell.
 */
export function createContainerNetworks(cell: Cell): ContainerNetworks {
  const networks = new Map<string | undefined, Promise<Network>>();
  let count = 0;
  const networkOf = (name: string | undefined) => {
    const found = networks.get(name) ?? openNetwork(cell, networks.size);
    networks.set(name, found);
    return found;
  };
  return {
    join: async (name, networkName) => {
      count += 1;
      if (count > maxContainers) throw new RangeError(`a run has at most ${maxContainers} containers`);
      const number = count;
      const { bridge, gateway, bits, hostsFile, addressOf } = await networkOf(networkName);
      const address = addressOf(number);
      const namespace = `c${number}`;
      const words = [namespace, `v${number}`, `${address}/${bits}`, bridge, gateway];
      await cell.read(['sh', '-ec', joinScript, 'sh', ...words], { cwd: '/' });
      await cell.read(['tee', '-a', '--', hostsFile], { input: new TextEncoder().encode(`${address} ${name}\n`) });
      return { namespace: `/run/netns/${namespace}`, hostsFile, address };
    },
  };
}

type Network = {
  readonly bridge: string;
  readonly gateway: string;
  readonly bits: number;
  readonly hostsFile: string;
  readonly addressOf: (container: number) => string;
};

/** The first is on the bridge that the cell has, others have each one of their own, with room for all containers. */
async function openNetwork(cell: Cell, index: number): Promise<Network> {
  if (index >= maxNetworks) throw new RangeError(`a run has at most ${maxNetworks} networks`);
  const hostsFile = `${cell.folder}/hosts/${index}`;
  const host = (container: number) => ({ third: Math.floor(container / 250), fourth: 2 + (container % 250) });
  await cell.read(['cp', '--', '/etc/hosts', hostsFile], { cwd: '/' });
  if (index === 0) {
    const addressOf = (container: number) => `10.88.${1 + host(container).third}.${host(container).fourth}`;
    return { bridge: 'bridge0', gateway: cell.address, bits: 16, hostsFile, addressOf };
  }
  const start = index - 1;
  const [second, third] = [89 + Math.floor(start / 16), (start % 16) * 16];
  const [bridge, gateway, bits] = [`bridge${index}`, `10.${second}.${third}.1`, 20];
  await cell.read(['sh', '-ec', bridgeScript, 'sh', bridge, `${gateway}/${bits}`], { cwd: '/' });
  const addressOf = (container: number) => `10.${second}.${third + host(container).third}.${host(container).fourth}`;
  return { bridge, gateway, bits, hostsFile, addressOf };
}
