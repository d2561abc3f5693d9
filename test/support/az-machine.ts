import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isLong } from '../faults/length.ts';
import { newestAz, newestAzVersion } from './az-newest.ts';
import { azSetUp } from './az-set-up.ts';
import type { BerthServer } from './berth-server.ts';
import { RunError, tryRun } from './run.ts';

/** A release of the Azure CLI, and the folder that its `az` is in. */
export type AzRelease = { readonly version: string; readonly folder: () => Promise<string> };

const debian: AzRelease = { version: '2.45', folder: async () => '/usr/bin' };
const newest: AzRelease = { version: newestAzVersion, folder: newestAz };

/** Debian's own, and a new one. */
export const azReleases: readonly AzRelease[] = [debian, newest];

/** For areas of commands that would take minutes with each: both in the long suite, else the one whose turn it is in this area. */
export function azReleasesInTurn(turn: 'debian' | 'newest'): readonly AzRelease[] {
  if (isLong) return azReleases;
  return turn === 'debian' ? [debian] : [newest];
}

export type Environment = Readonly<Record<string, string>>;

/** A machine with the Azure CLI, set up for a server by the lines of `berth az-cloud`. Lines are typed into a shell. */
export class AzMachine {
  readonly #environment: Environment;

  private constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** `folder` keeps what the CLI remembers; the owner is signed in unless `options` are `--cloud-only`. */
  static async setUp(server: BerthServer, release: AzRelease, folder: string, options = ''): Promise<AzMachine> {
    mkdirSync(folder, { recursive: true });
    const environment = {
      HOME: folder,
      AZURE_CONFIG_DIR: join(folder, 'az'),
      AZURE_CORE_COLLECT_TELEMETRY: 'no',
      AZURE_CORE_NO_COLOR: 'true',
      AZURE_CORE_ONLY_SHOW_ERRORS: 'true',
      PATH: `${await release.folder()}:${process.env.PATH}`,
    };
    const lines = await new AzMachine(environment).type(azSetUp(server, options));
    return new AzMachine({ ...environment, REQUESTS_CA_BUNDLE: lines.trim().split('\n').at(-1) ?? '' });
  }

  /** Another machine, in its own folder, that is set up the same and remembers as much. */
  twin(folder: string): AzMachine {
    cpSync(this.#environment.HOME ?? '', folder, { recursive: true });
    return new AzMachine({ ...this.#environment, HOME: folder, AZURE_CONFIG_DIR: join(folder, 'az') });
  }

  /** Answers what it prints. Throws when it fails. */
  async type(line: string, more: Environment = {}): Promise<string> {
    const outcome = await tryRun('bash', ['-euc', line], { env: { ...this.#environment, ...more } });
    if (outcome.code !== 0) throw new RunError(outcome);
    return outcome.stdout;
  }

  async json(line: string, more?: Environment): Promise<unknown> {
    return JSON.parse(await this.type(`${line} -o json`, more));
  }

  /** Answers what a person reads when it fails, as it has to. */
  async refused(line: string, more: Environment = {}): Promise<string> {
    const outcome = await tryRun('bash', ['-euc', line], { env: { ...this.#environment, ...more } });
    if (outcome.code === 0) throw new RunError(outcome);
    return outcome.output;
  }
}
