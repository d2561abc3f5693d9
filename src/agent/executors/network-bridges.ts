import { RunFailure } from '../run-failure.ts';
import type { Cell } from './cell.ts';
import { Numbers } from './numbers.ts';

/** What containers of one network have in common. */
export type Bridge = {
  readonly name: string;
  /** Its own address: the way to the doors of the cell. */
  readonly gateway: string;
  readonly bits: number;
  readonly range: string;
  readonly addressOf: (container: number) => string;
  /** Once no container is on it. */
  readonly close: () => Promise<void>;
};

/** Of the first network of a run, which every one has, for what goes past its proxy. Others are told to their containers alone. */
export const containerAddresses = '10.88.0.0/16';
const maxNetworks = 112;

/** $1 bridge, $2 its address with its bits. Nothing passes from one bridge to another: the cell forwards nothing. */
const bridgeScript = `
ip link add "$1" type bridge
ip address add "$2" dev "$1"
ip link set "$1" up
`;

/** The first is on the bridge that the cell has, others have each one of their own, with room for all containers. */
export class NetworkBridges {
  readonly #cell: Pick<Cell, 'read' | 'address'>;
  readonly #numbers = new Numbers(maxNetworks);

  constructor(cell: Pick<Cell, 'read' | 'address'>) {
    this.#cell = cell;
  }

  /** Throws RunFailure. */
  async open(): Promise<Bridge> {
    const number = this.#numbers.take();
    if (number === undefined) throw new RunFailure(`a run has at most ${maxNetworks} networks at a time`);
    const free = () => this.#numbers.give(number);
    return number === 1 ? this.#first(free) : await this.#further(number - 2, free);
  }

  #first(free: () => void): Bridge {
    const addressOf = (container: number) => `10.88.${1 + third(container)}.${fourth(container)}`;
    const close = async () => free();
    return { name: 'bridge0', gateway: this.#cell.address, bits: 16, range: containerAddresses, addressOf, close };
  }

  async #further(index: number, free: () => void): Promise<Bridge> {
    const [second, start] = [89 + Math.floor(index / 16), (index % 16) * 16];
    const [name, gateway, bits] = [`bridge${index + 1}`, `10.${second}.${start}.1`, 20];
    const ip = async (words: readonly string[]) => await this.#cell.read(words, { cwd: '/' });
    try {
      await ip(['sh', '-ec', bridgeScript, 'sh', name, `${gateway}/${bits}`]);
    } catch (cause) {
      // It may be half made.
      await ip(['ip', 'link', 'delete', name]).catch(() => undefined);
      free();
      throw cause;
    }
    return {
      ...{ name, gateway, bits, range: `10.${second}.${start}.0/${bits}` },
      addressOf: (container) => `10.${second}.${start + third(container)}.${fourth(container)}`,
      close: async () => {
        await ip(['ip', 'link', 'delete', name]);
        free();
      },
    };
  }
}

function third(container: number): number {
  return Math.floor(container / 250);
}

function fourth(container: number): number {
  return 2 + (container % 250);
}
