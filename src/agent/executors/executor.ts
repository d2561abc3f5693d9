import type { RunPlatform } from '../../wire/builds/run-work.ts';
import type { ProgramOutput } from '../run-log.ts';
import type { ContainerNetworks } from './container-network.ts';

/** How a program of a run ended, and where what it printed went. */
export type ExecutorOptions = { readonly output: ProgramOutput; readonly signal: AbortSignal };

export type ImageBuild = {
  /** Absolute paths in the cell. */
  readonly context: string;
  readonly dockerfile: string;
  readonly tags: readonly string[];
  /** Whether all of them are pushed next: an executor may do so with the build, and only tell the digest when asked to push. */
  readonly pushes: boolean;
  /** Several make an index. */
  readonly platforms: readonly RunPlatform[];
  readonly arguments: ReadonlyMap<string, string | undefined>;
  readonly target: string | undefined;
  readonly labels: readonly string[];
  readonly annotations: readonly string[];
  readonly hasCache: boolean;
  readonly pulls: boolean;
  readonly isSquashed: boolean;
  /** `id=name,src=/path`, the path below the run's folder. */
  readonly secrets: readonly string[];
  readonly addedHosts: readonly string[];
  /** A repository that keeps layers between runs. */
  readonly cacheRepository: string | undefined;
  /** Processors that the build may use, where they are fewer than those of its run. */
  readonly cpus: number | undefined;
};

export type ContainerRun = {
  /** Of the step: its host name on the run's network. */
  readonly name: string;
  readonly image: string;
  readonly arguments: readonly string[];
  readonly entryPoint: string | undefined;
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly isPrivileged: boolean;
  /** Containers of another one are not reached; undefined: of those that name none. */
  readonly network: string | undefined;
  /** Further names on that network. */
  readonly aliases: readonly string[];
  /** Paths in the cell by the path in the container. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly pulls: boolean;
  /** Processors that its programs may use together, where they are fewer than those of its run. */
  readonly cpus: number | undefined;
};

/** What an image says to those who run it. */
export type ImageConfig = {
  readonly entryPoint: readonly string[];
  readonly command: readonly string[];
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
};

export type RunningContainer = {
  readonly exited: Promise<number>;
  /** Ends it; resolves when it is gone. */
  readonly stop: () => Promise<void>;
  /** Puts it on one more network, under its name and others. Throws RunFailure. */
  readonly connect: (network: string, aliases: readonly string[]) => Promise<void>;
  /** Throws RunFailure where it is not on that. */
  readonly disconnect: (network: string) => Promise<void>;
};

/**
 * What does the work of one run, in its cell: images are built, run and pushed. Every method throws ProgramError when a
 * program fails, and the signal's reason when it is aborted.
 */
export type Executor = {
  /** Asks the registry whether the credential is good, and keeps it. */
  readonly signIn: (server: string, username: string, password: string, options: ExecutorOptions) => Promise<void>;
  /** Of a credential that is known to be good. */
  readonly keepLogin: (server: string, username: string, password: string) => void;
  readonly build: (build: ImageBuild, options: ExecutorOptions) => Promise<void>;
  readonly tag: (from: string, to: string, options: ExecutorOptions) => Promise<void>;
  readonly pull: (image: string, options: ExecutorOptions) => Promise<void>;
  /** The digest under which the registry keeps it. */
  readonly push: (image: string, options: ExecutorOptions) => Promise<string>;
  /** `starting` ends the wait for its image and its start, `signal` the container itself. */
  readonly start: (
    container: ContainerRun,
    options: ExecutorOptions & { readonly starting: AbortSignal },
  ) => Promise<RunningContainer>;
  /** Of images that were pulled, by the names that were asked for; without those that have none here. */
  readonly digestsOf: (images: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, string>>;
  /** Of an image that was pulled. */
  readonly configOf: (image: string, signal: AbortSignal) => Promise<ImageConfig>;
  /** Of containers: each is made when its first one comes. */
  readonly networks: Pick<ContainerNetworks, 'isUsed' | 'remove'>;
  readonly createIndex: (name: string, images: readonly string[], options: ExecutorOptions) => Promise<void>;
};
