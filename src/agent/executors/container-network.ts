import { RunFailure } from '../run-failure.ts';
import { writeInPlace } from '../write-files.ts';
import type { Cell } from './cell.ts';
import { type Bridge, NetworkBridges } from './network-bridges.ts';
import { Numbers } from './numbers.ts';

/** Where a container's network is, and the names it sees: files in the cell. */
export type JoinedNetwork = {
  readonly namespace: string;
  readonly hostsFile: string;
  readonly address: string;
  /** What is reached past the proxy: addresses of its network, and the names of those that are on it by now. */
  readonly direct: readonly string[];
  /** Puts it on one more network, under its name and others. Throws RunFailure. */
  readonly connect: (network: string, aliases: readonly string[]) => Promise<void>;
  /** Throws RunFailure where it is not on that. */
  readonly disconnect: (network: string) => Promise<void>;
  /** Once its container has ended. */
  readonly leave: () => Promise<void>;
};

export type ContainerNetworks = {
  /**
   * Joins a container to a network of the run, which is made when its first one comes, under its name and others; undefined is that
   * of containers that name none. Throws RunFailure.
   */
  readonly join: (name: string, network: string | undefined, aliases?: readonly string[]) => Promise<JoinedNetwork>;
  /** Whether a container is on it. */
  readonly isUsed: (network: string) => Promise<boolean>;
  /** Takes its bridge away. Throws RunFailure while a container is on it. */
  readonly remove: (network: string) => Promise<void>;
};

/** Each has its number in the last 12 bits of its address. */
const maxNumber = 3_999;
/** At a time: a bridge of Linux has 1,024 ports. */
const maxContainers = 1_000;
/** Of lines of files of names, of all containers of a network: 260 for each of the most. */
const maxLineBytes = 256 * 1024;
/** A container's file of names has the lines of all of them. */
const maxNetworksOfOne = 16;

/**
 * Joins a container to a bridge. $1 its own network, $2 link, $3 its other end inside, $4 address with its bits, $5 bridge, $6 where all
 * else is sent. Not by `ip -n`, which takes /sys away before it mounts another: the kernel lets nobody mount one who has none.
 */
const linkScript = `
ip link add "$2" type veth peer name "$3" netns "$1"
ip link set "$2" master "$5" up
in_it() { nsenter --net="/run/netns/$name" ip "$@"; }
name=$1
in_it address add "$4" dev "$3"
in_it link set "$3" up
in_it link set lo up
in_it route replace default via "$6"
`;

/** $1 its own network, $2 link, $3 where all else is sent from now on, if anywhere. */
const unlinkScript = `
ip link delete "$2"
[ -z "$3" ] || nsenter --net="/run/netns/$1" ip route replace default via "$3"
`;

/** $1 its own network, then its links. These first: the rest of a network goes when the kernel has time. */
const leaveScript = `
name=$1
shift
for link; do ip link delete "$link" || true; done
ip netns delete "$name"
`;

/** $1 a file for what is given, $2 a line for all others. In the same files: containers have them mounted. */
const hostsScript = `
cat > "$1"
line=$2
shift 2
[ $# = 0 ] || printf '%s\\n' "$line" | tee -a -- "$@" > /dev/null
`;

/** $1 the line that goes, then files. In the same files. */
const forgetScript = `
line=$1
shift
for file; do
  rest=$(grep -vxF -- "$line" "$file") || true
  printf '%s\\n' "$rest" > "$file"
done
`;

/**
 * Containers of one network reach each other by the ids of their steps, those that come later too: each has a file of names, which
 * changes as others come and go. They reach none of another network, and all of them the doors of the cell. What has ended is on no
 * network any more.
 */
export function createContainerNetworks(cell: Pick<Cell, 'read' | 'folder' | 'address'>): ContainerNetworks {
  const all = new AllNetworks(cell);
  return {
    join: async (name, network, aliases = []) => {
      const container = await all.add(name, network, aliases);
      return {
        namespace: `/run/netns/${container.namespace}`,
        hostsFile: container.hostsFile,
        ...all.seenBy(container, network),
        connect: (other, names) => all.connect(container, other, names),
        disconnect: (other) => all.disconnect(container, other),
        leave: () => all.leave(container),
      };
    },
    isUsed: (network) => all.isUsed(network),
    remove: (network) => all.remove(network),
  };
}

/** By the name that tasks give it; undefined is that of containers that name none. */
type NetworkName = string | undefined;
type Network = { readonly bridge: Bridge; readonly links: Map<Container, Link> };
type Link = {
  /** Its end at the bridge. */
  readonly outside: string;
  readonly address: string;
  /** Of files of names. */
  readonly line: string;
  /** Whether those files have it. */
  isNamed: boolean;
};
type Container = {
  readonly name: string;
  readonly number: number;
  readonly namespace: string;
  readonly hostsFile: string;
  /** Those it is on, in the order in which it came to them. */
  readonly networks: Map<NetworkName, Network>;
  linkCount: number;
  isGone: boolean;
};

class AllNetworks {
  readonly #cell: Pick<Cell, 'read' | 'folder' | 'address'>;
  readonly #bridges: NetworkBridges;
  readonly #networks = new Map<NetworkName, Promise<Network>>();
  readonly #numbers = new Numbers(maxNumber);
  #changing: Promise<unknown> = Promise.resolve();
  #baseHosts: Promise<string> | undefined;

  constructor(cell: Pick<Cell, 'read' | 'folder' | 'address'>) {
    this.#cell = cell;
    this.#bridges = new NetworkBridges(cell);
  }

  async add(name: string, networkName: NetworkName, aliases: readonly string[]): Promise<Container> {
    const number = this.#numbers.take();
    if (number === undefined) throw new RunFailure(`a run has at most ${maxNumber} containers at a time`);
    const hostsFile = `${this.#cell.folder}/hosts/c${number}`;
    const own = { networks: new Map<NetworkName, Network>(), linkCount: 0, isGone: false };
    const container: Container = { name, number, namespace: `c${number}`, hostsFile, ...own };
    try {
      await this.#run(['ip', 'netns', 'add', container.namespace]);
      await this.#link(container, networkName, aliases);
    } catch (cause) {
      await this.leave(container).catch(() => undefined);
      throw cause;
    }
    return container;
  }

  seenBy(container: Container, name: NetworkName): Pick<JoinedNetwork, 'address' | 'direct'> {
    const network = container.networks.get(name);
    if (network === undefined) throw new TypeError('a container has a network');
    const others = [...network.links.entries()].filter(([other]) => other !== container);
    const names = others.flatMap(([, { line }]) => line.split(' ').slice(1));
    const address = network.links.get(container)?.address ?? '';
    return { address, direct: [network.bridge.range, ...new Set(names.filter((other) => other !== container.name))] };
  }

  async connect(container: Container, name: string, aliases: readonly string[]): Promise<void> {
    this.#requireThere(container);
    if (container.networks.has(name))
      throw new RunFailure(`the container ${container.name} is on the network ${name} already`);
    await this.#link(container, name, aliases);
  }

  async disconnect(container: Container, name: string): Promise<void> {
    this.#requireThere(container);
    const network = container.networks.get(name);
    const link = network?.links.get(container);
    if (network === undefined || link === undefined)
      throw new RunFailure(`the container ${container.name} is not on the network ${name}`);
    network.links.delete(container);
    container.networks.delete(name);
    const [rest] = container.networks.values();
    await this.#run(['sh', '-ec', unlinkScript, 'sh', container.namespace, link.outside, rest?.bridge.gateway ?? '']);
    await this.#forgetHosts(link, network);
    await this.#rewriteHosts(container);
  }

  async leave(container: Container): Promise<void> {
    container.isGone = true;
    const left = [...container.networks.values()];
    const ends = left.flatMap((network) => {
      const link = network.links.get(container);
      return link === undefined ? [] : [{ network, link }];
    });
    for (const { links } of left) links.delete(container);
    const outside = ends.map(({ link }) => link.outside);
    await this.#run(['sh', '-ec', leaveScript, 'sh', container.namespace, ...outside]);
    for (const { network, link } of ends) await this.#forgetHosts(link, network);
    this.#numbers.give(container.number);
  }

  async isUsed(name: string): Promise<boolean> {
    return ((await this.#networks.get(name))?.links.size ?? 0) > 0;
  }

  async remove(name: string): Promise<void> {
    const network = await this.#networks.get(name);
    // Nobody has come to it.
    if (network === undefined) return;
    const names = [...network.links.keys()].map((container) => container.name);
    if (names.length > 0)
      throw new RunFailure(`containers are on the network ${name}: ${names.slice(0, 10).join(', ')}; stop them before`);
    this.#networks.delete(name);
    await network.bridge.close();
  }

  #requireThere({ name, isGone }: Container): void {
    if (isGone) throw new RunFailure(`the container ${name} has ended`);
  }

  async #link(container: Container, name: NetworkName, aliases: readonly string[]): Promise<void> {
    const network = await this.#networkOf(name);
    // It may have ended meanwhile, and nobody would take the link away.
    this.#requireThere(container);
    const { bridge, links } = network;
    if (links.size >= maxContainers)
      throw new RunFailure(`a network has at most ${maxContainers} containers at a time`);
    if (container.networks.size >= maxNetworksOfOne)
      throw new RunFailure(`a container is on at most ${maxNetworksOfOne} networks at a time: ${container.name}`);
    const address = bridge.addressOf(container.number);
    const end = container.linkCount;
    container.linkCount += 1;
    const line = [address, ...new Set([container.name, ...aliases])].join(' ');
    const lineBytes = [...links.values()].reduce((sum, other) => sum + other.line.length, line.length);
    if (lineBytes > maxLineBytes)
      throw new RunFailure(
        `the names of a network have at most ${maxLineBytes} letters: give its containers fewer or shorter ones`,
      );
    const link: Link = { outside: `v${container.number}-${end}`, address, line, isNamed: false };
    const [first = network] = container.networks.values();
    links.set(container, link);
    container.networks.set(name, network);
    const words = [link.outside, `eth${end}`, `${address}/${bridge.bits}`, bridge.name, first.bridge.gateway];
    await this.#run(['sh', '-ec', linkScript, 'sh', container.namespace, ...words]);
    await this.#addHosts(container, link, links);
  }

  #networkOf(name: NetworkName): Promise<Network> {
    const found = this.#networks.get(name);
    if (found !== undefined) return found;
    const open = async () => ({ bridge: await this.#bridges.open(), links: new Map<Container, Link>() });
    const network = open();
    this.#networks.set(name, network);
    network.catch(() => this.#networks.delete(name));
    return network;
  }

  async #addHosts(container: Container, link: Link, links: ReadonlyMap<Container, Link>): Promise<void> {
    await this.#changeHosts(async () => {
      const others = [...links].flatMap(([{ hostsFile }, { isNamed }]) => (isNamed ? [hostsFile] : []));
      link.isNamed = true;
      const input = new TextEncoder().encode(await this.#hostsOf(container));
      await this.#run(['sh', '-ec', hostsScript, 'sh', container.hostsFile, link.line, ...others], input);
    });
  }

  /** In the cell: the files of all others are more than is held here. */
  async #forgetHosts({ line }: Link, { links }: Network): Promise<void> {
    await this.#changeHosts(async () => {
      const files = [...links].flatMap(([{ hostsFile }, { isNamed }]) => (isNamed ? [hostsFile] : []));
      if (files.length > 0) await this.#run(['sh', '-ec', forgetScript, 'sh', line, ...files]);
    });
  }

  async #rewriteHosts(container: Container): Promise<void> {
    await this.#changeHosts(async () => {
      const bytes = new TextEncoder().encode(await this.#hostsOf(container));
      await writeInPlace(this.#cell, [{ path: container.hostsFile, bytes }]);
    });
  }

  async #hostsOf({ networks }: Container): Promise<string> {
    this.#baseHosts ??= this.#run(['cat', '/etc/hosts']);
    const links = [...networks.values()].flatMap((network) => [...network.links.values()]);
    const lines = links.flatMap(({ line, isNamed }) => (isNamed ? [`${line}\n`] : []));
    return `${await this.#baseHosts}${lines.join('')}`;
  }

  /** One after the other: whole files are written. */
  async #changeHosts(change: () => Promise<void>): Promise<void> {
    const changing = this.#changing.then(change);
    this.#changing = changing.catch(() => undefined);
    await changing;
  }

  async #run(words: readonly string[], input?: Uint8Array): Promise<string> {
    return await this.#cell.read(words, { cwd: '/', ...(input === undefined ? {} : { input }) });
  }
}
