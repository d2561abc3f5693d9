import { goTool } from '../support/go-tools.ts';
import { type PrivateMount, withPrivateMounts } from '../support/private-mounts.ts';
import type { RunOptions } from '../support/run.ts';
import type { Workbench } from './workbench.ts';

type CommandLine = { readonly command: string; readonly args: readonly string[] };

/** A client program that runs in a test's workbench. */
export class Client {
  readonly #bench: () => Workbench;
  readonly #commandLine: (bench: Workbench, args: readonly string[]) => Promise<CommandLine> | CommandLine;

  constructor(
    bench: () => Workbench,
    commandLine: (bench: Workbench, args: readonly string[]) => Promise<CommandLine> | CommandLine,
  ) {
    this.#bench = bench;
    this.#commandLine = commandLine;
  }

  /** Returns what it printed on standard output; throws with everything it printed when it fails. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { command, args: all } = await this.#commandLine(this.#bench(), args);
    return await this.#bench().run(command, all, options);
  }

  /** For what must fail: returns all that the person reads, throws when it succeeds. */
  async fail(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const { command, args: all } = await this.#commandLine(this.#bench(), args);
    return await this.#bench().fail(command, all, options);
  }
}

/** A program of Debian, with arguments put before the others' (storage folders, socket). */
export function debianClient(
  bench: () => Workbench,
  command: string,
  before: (bench: Workbench) => readonly string[] = () => [],
): Client {
  return new Client(bench, (current, args) => ({ command, args: [...before(current), ...args] }));
}

/** A pinned client that our Go tool chain builds. */
export function goClient(bench: () => Workbench, name: string): Client {
  return new Client(bench, async (current, args) => withPrivateMounts([hostsFile(current)], await goTool(name), args));
}

/**
 * Programs that resolve names without the C library do not know that `*.localhost` is this machine; they run with this
 * hosts file over the machine's.
 */
export function hostsFile(bench: Workbench): PrivateMount {
  return { from: bench.hosts, over: '/etc/hosts' };
}
