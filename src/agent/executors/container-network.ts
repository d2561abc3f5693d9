import type { Cell } from './cell.ts';

/** Where a container's network is, and the names it sees: files in the cell. */
export type JoinedNetwork = { readonly namespace: string; readonly hostsFile: string; readonly address: string };

const maxContainers = 4_000;

/**
 * Makes a network of its own for a container, joined to the cell's bridge. $1 name, $2 link, $3 address, $4 bridge's address.
 * Not by `ip -n`, which takes /sys away before it mounts another: the kernel lets nobody mount one who has none.
 */
const joinScript = `
ip netns add "$1"
ip link add "$2" type veth peer name eth0 netns "$1"
ip link set "$2" master bridge0 up
in_it() { nsenter --net="/run/netns/$name" ip "$@"; }
name=$1
in_it address add "$3/16" dev eth0
in_it link set eth0 up
in_it link set lo up
in_it route add default via "$4"
`;

/** Containers of one run reach each other by the ids of their steps, those that come later too: they read one file. */
export function createContainerNetwork(cell: Cell): { readonly join: (name: string) => Promise<JoinedNetwork> } {
  const hostsFile = `${cell.folder}/hosts/all`;
  let count = 0;
  let isMade = false;
  return {
    join: async (name) => {
      count += 1;
      if (count > maxContainers) throw new RangeError(`a run has at most ${maxContainers} containers`);
      const number = count;
      const address = `10.88.${1 + Math.floor(number / 250)}.${2 + (number % 250)}`;
      const namespace = `c${number}`;
      if (!isMade) await cell.read(['cp', '--', '/etc/hosts', hostsFile], { cwd: '/' });
      isMade = true;
      await cell.read(['sh', '-ec', joinScript, 'sh', namespace, `v${number}`, address, cell.address], { cwd: '/' });
      await cell.read(['tee', '-a', '--', hostsFile], { input: new TextEncoder().encode(`${address} ${name}\n`) });
      return { namespace: `/run/netns/${namespace}`, hostsFile, address };
    },
  };
}
