import { access, constants } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import type { RunPlatform } from '../../wire/builds/run-work.ts';
import { readProgram } from '../program.ts';
import {
  type ContainerIsolation,
  chooseIsolation,
  type IsolationChoice,
  type IsolationWish,
} from './container-isolation.ts';
import { type ContainerProgram, missedFixes, releaseIn } from './known-escapes.ts';
import { type TrialPlace, tryRoom } from './try-room.ts';
import { programPath } from './user-cell.ts';
import { ownFiles, withoutRights } from './without-rights.ts';

export type HostFacts = {
  /** `buildah 1.28.2, runc 1.1.5`, or `buildah 1.28.2, chroot`. */
  readonly executor: string;
  readonly isolation: 'user-namespace';
  /** Of the containers of a run from each other. */
  readonly containers: ContainerIsolation;
  /** What there is to know of it, for whoever starts runs; undefined for oci. */
  readonly weakness?: string;
  readonly platforms: readonly RunPlatform[];
  /** What has to be there and is not, each with what would help. */
  readonly missing: readonly string[];
  /** Ways out of a container that are known here: programs that lack fixes, each with what it lacks, and chroot where it was asked for. */
  readonly unpatched: readonly string[];
  /** Chroot that nobody asked for: what was taken for the ways above does not cover it. */
  readonly unasked?: string | undefined;
  readonly warnings: readonly string[];
};

const programs: readonly (readonly [string, string])[] = [
  ['buildah', 'apt install buildah'],
  ['git', 'apt install git'],
  ['unshare', 'apt install util-linux'],
  ['nsenter', 'apt install util-linux'],
  ['setpriv', 'apt install util-linux'],
  ['prlimit', 'apt install util-linux'],
  ['getent', 'apt install libc-bin'],
  ['mkfs.ext4', 'apt install e2fsprogs'],
  ['ip', 'apt install iproute2'],
  ['tar', 'apt install tar'],
];

const programFolders = programPath.split(':');
const nobody = 65_534;
const lookScript = `for each; do [ -r "$each" ] || printf '%s\\n' "$each"; done`;
const advice =
  'Builds that use them leave their containers as an ordinary user without rights here: script/build-tools makes newer ones; without them pull requests from forks are refused';

/**
 * What this machine can do for runs, which a room is made for. Throws the signal's reason once nothing is left of that. Security
 * rule 20: versions are looked at and told.
 */
export async function checkHost(wish: IsolationWish, place: TrialPlace, signal: AbortSignal): Promise<HostFacts> {
  const missing = await missingPrograms(programFolders);
  if (process.getuid?.() !== 0)
    missing.push('the agent needs root to make user namespaces and disks of runs: run it as root');
  if (!(await hasLoopDevices()))
    missing.push(
      'there are no loop devices (/dev/loop-control): load the module loop, or give the container that device',
    );
  const closed = missing.length === 0 ? await unreadableFiles(ownFiles) : [];
  const choice = missing.length === 0 ? await chooseByTrial(wish, place, signal) : undefined;
  if (choice?.kind === 'none') missing.push(choice.missing);
  const isWeak = choice?.kind === 'weak';
  const found = await Promise.all((isWeak ? (['buildah'] as const) : (['buildah', 'runc'] as const)).map(lookAt));
  const outdated = found.flatMap(({ text }) => text ?? []);
  const releases = found.map(({ program, release }) => `${program} ${release}`);
  return {
    executor: [...releases, ...(isWeak ? ['chroot'] : [])].join(', '),
    isolation: 'user-namespace',
    containers: isWeak ? 'chroot' : 'oci',
    ...(isWeak ? { weakness: choice.weakness } : {}),
    platforms: platforms(),
    missing,
    unpatched: [...outdated, ...(isWeak && choice.isAsked ? [choice.weakness] : [])],
    unasked: isWeak && !choice.isAsked ? choice.weakness : undefined,
    warnings: [
      ...(isWeak ? [`${choice.weakness}: ${choice.help}`] : []),
      ...outdated.map((text) => `${text}. ${advice}`),
      ...closed.map(
        (path) =>
          `${path} is for its owner alone: what reads files of strangers stays root, without root's rights; let everybody read it`,
      ),
    ],
  };
}

async function chooseByTrial(wish: IsolationWish, place: TrialPlace, signal: AbortSignal): Promise<IsolationChoice> {
  const trial = await tryRoom(place, wish !== 'chroot' && (await isIn(programFolders, 'runc')), signal);
  if (trial.kind === 'room') return chooseIsolation(wish, trial.oci);
  return { kind: 'none', missing: `${trial.why}: ${trial.help}` };
}

/** Those of these files that others than their owner cannot read. */
export async function unreadableFiles(paths: readonly string[]): Promise<readonly string[]> {
  const words = [...withoutRights(nobody, []), 'sh', '-c', lookScript, 'sh', ...paths];
  const said = await readProgram(words, { env: { PATH: programPath }, cwd: '/' });
  return said.split('\n').filter((path) => path !== '');
}

/** Of those that agents start, the ones that are in none of these folders, each with what would help. */
export async function missingPrograms(folders: readonly string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const [program, help] of programs)
    if (!(await isIn(folders, program))) missing.push(`${program} is missing: ${help}`);
  return missing;
}

async function isIn(folders: readonly string[], program: string): Promise<boolean> {
  return (await Promise.all(folders.map((folder) => isThere(join(folder, program))))).includes(true);
}

async function isThere(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function hasLoopDevices(): Promise<boolean> {
  return await access('/dev/loop-control', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function lookAt(program: ContainerProgram) {
  const said = await readProgram([program, '--version'], { env: { PATH: programPath } }).catch(() => undefined);
  const release = releaseIn(said ?? '') ?? 'unknown';
  // One that is not there is told as missing.
  const missed = said === undefined ? [] : missedFixes(program, said);
  const text = missed.length === 0 ? undefined : `${program} ${release} lacks the fixes of ${missed.join(', ')}`;
  return { program, release, text };
}

/** Others need emulation by binfmt for RUN; without RUN they are built as they are. */
function platforms(): readonly RunPlatform[] {
  const all = ['amd64', 'arm64', 'arm', '386'] as const;
  const own = all.find((name) => name === arch()) ?? 'amd64';
  return [own, ...all.filter((name) => name !== own)].map((architecture) => ({ os: 'linux' as const, architecture }));
}
