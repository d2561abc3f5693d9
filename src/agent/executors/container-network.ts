import { RunFailure } from '../run-failure.ts';
import type { Cell } from './cell.ts';

/** Where a container's network is, and the names it sees: files in the cell. */
export type JoinedNetwork = {
  readonly namespace: string;
  readonly hostsFile: string;
  readonly address: string;
  /** What is reached past the proxy: addresses of its network, and the names of those that are on it by now. */
  readonly direct: readonly string[];
  /** Once its container has ended. */
  readonly leave: () => Promise<void>;
};

export type ContainerNetworks = {
  /**
   * Joins a container to a network of the run, which is made when its first one comes; undefined is that of containers that name none.
   * Throws RunFailure.
   */
  readonly join: (name: string, network: string | undefined) => Promise<JoinedNetwork>;
};

/** Of the first network of a run, which every one has, for what goes past its proxy. Others are told to their containers alone. */
export const containerAddresses = '10.88.0.0/16';

/** Each has its number in the last 12 bits of its address. */
const maxNumber = 3_999;
/** At a time: a bridge of Linux has 1,024 ports. */
const maxContainers = 1_000;
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

/** $1 name, $2 link. The link first: the rest of a network goes when the kernel has time. */
const leaveScript = `
ip link delete "$2" || true
ip netns delete "$1"
`;

/** $1 file, $2 the line that goes. In the same file: containers have it mounted. */
const forgetScript = `
rest=$(grep -vxF -- "$2" "$1")
printf '%s\\n' "$rest" > "$1"
`;

/** $1 bridge, $2 its address with its bits. Nothing passes from one bridge to another: the cell forwards nothing. */
const bridgeScript = `
ip link add "$1" type bridge
ip address add "$2" dev "$1"
ip link set "$1" up
`;

/**
 * Containers of one network reach each other by the ids of their steps, those that come later too: they read one file. They
 * reach none of another network, and all of them the doors of the cell. What has ended is on no network any more.
 */
export function createContainerNetworks(cell: Pick<Cell, 'read' | 'folder' | 'address'>): ContainerNetworks {
  const networks = new Map<string | undefined, Promise<Network>>();
  const numbers = new Numbers(maxNumber);
  const networkOf = (name: string | undefined) => {
    const found = networks.get(name) ?? openNetwork(cell, networks.size);
    networks.set(name, found);
    return found;
  };
  return {
    join: async (name, networkName) => {
      const network = await networkOf(networkName);
      const { bridge, gateway, bits, hostsFile, addressOf, names, range } = network;
      if (names.size >= maxContainers)
        throw new RunFailure(`a network has at most ${maxContainers} containers at a time`);
      const number = numbers.take();
      if (number === undefined) throw new RunFailure(`a run has at most ${maxNumber} containers at a time`);
      names.set(number, name);
      const address = addressOf(number);
      const [namespace, link, line] = [`c${number}`, `v${number}`, `${address} ${name}`];
      const leave = async () => {
        await cell.read(['sh', '-ec', leaveScript, 'sh', namespace, link], { cwd: '/' });
        await changeHosts(network, () => cell.read(['sh', '-ec', forgetScript, 'sh', hostsFile, line]));
        names.delete(number);
        numbers.give(number);
      };
      await cell.read(['sh', '-ec', joinScript, 'sh', namespace, link, `${address}/${bits}`, bridge, gateway], {
        cwd: '/',
      });
      const input = new TextEncoder().encode(`${line}\n`);
      await changeHosts(network, () => cell.read(['tee', '-a', '--', hostsFile], { input }));
      const direct = [range, ...new Set([...names.values()].filter((other) => other !== name))];
      return { namespace: `/run/netns/${namespace}`, hostsFile, address, direct, leave };
    },
  };
}

/** From 1 on. One that was given back is taken last: others may know its address as that of who had it. */
class Numbers {
  readonly #max: number;
  readonly #given: number[] = [];
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  take(): number | undefined {
    if (this.#taken === this.#max) return this.#given.shift();
    this.#taken += 1;
    return this.#taken;
  }

  give(number: number): void {
    this.#given.push(number);
  }
}

/** One after the other: it is read and written again. */
async function changeHosts(network: Network, change: () => Promise<unknown>): Promise<void> {
  const changing = network.changing.then(change);
  network.changing = changing.catch(() => undefined);
  await changing;
}

type Network = {
  readonly bridge: string;
  readonly gateway: string;
  readonly bits: number;
  readonly hostsFile: string;
  readonly range: string;
  readonly addressOf: (container: number) => string;
  /** Of containers that are on it, by their number. */
  readonly names: Map<number, string>;
  changing: Promise<unknown>;
};

/** The first is on the bridge that the cell has, others have each one of their own, with room for all containers. */
async function openNetwork(cell: Pick<Cell, 'read' | 'folder' | 'address'>, index: number): Promise<Network> {
  if (index >= maxNetworks) throw new RunFailure(`a run has at most ${maxNetworks} networks`);
  const hostsFile = `${cell.folder}/hosts/${index}`;
  const host = (container: number) => ({ third: Math.floor(container / 250), fourth: 2 + (container % 250) });
  await cell.read(['cp', '--', '/etc/hosts', hostsFile], { cwd: '/' });
  const own = { hostsFile, names: new Map<number, string>(), changing: Promise.resolve() };
  if (index === 0) {
    const addressOf = (container: number) => `10.88.${1 + host(container).third}.${host(container).fourth}`;
    return { ...own, bridge: 'bridge0', gateway: cell.address, bits: 16, range: containerAddresses, addressOf };
  }
  const start = index - 1;
  const [second, third] = [89 + Math.floor(start / 16), (start % 16) * 16];
  const [bridge, gateway, bits] = [`bridge${index}`, `10.${second}.${third}.1`, 20];
  await cell.read(['sh', '-ec', bridgeScript, 'sh', bridge, `${gateway}/${bits}`], { cwd: '/' });
  const addressOf = (container: number) => `10.${second}.${third + host(container).third}.${host(container).fourth}`;
  return { ...own, bridge, gateway, bits, range: `10.${second}.${third}.0/${bits}`, addressOf };
}
