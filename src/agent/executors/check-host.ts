import { access, constants } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import type { RunPlatform } from '../../wire/builds/run-work.ts';
import { readProgram } from '../program.ts';
import { programPath } from './user-cell.ts';

export type HostFacts = {
  /** `buildah 1.28.2, runc 1.1.5`. */
  readonly executor: string;
  readonly isolation: 'user-namespace';
  readonly platforms: readonly RunPlatform[];
  /** What has to be there and is not, each with what would help. */
  readonly missing: readonly string[];
  readonly warnings: readonly string[];
};

const programs: readonly (readonly [string, string])[] = [
  ['buildah', 'apt install buildah'],
  ['runc', 'apt install runc'],
  ['git', 'apt install git'],
  ['unshare', 'apt install util-linux'],
  ['nsenter', 'apt install util-linux'],
  ['setpriv', 'apt install util-linux'],
  ['mkfs.ext4', 'apt install e2fsprogs'],
  ['ip', 'apt install iproute2'],
  ['tar', 'apt install tar'],
];

/** First releases without the escapes that are known: CVE-2024-21626 and those after it; CVE-2024-1753, CVE-2024-9407. */
const [safeRunc, safeBuildah] = [
  [1, 2, 8],
  [1, 38, 0],
] as const;

/** What this machine can do for runs. Security rule 20: versions are looked at and told. */
export async function checkHost(): Promise<HostFacts> {
  const missing: string[] = [];
  for (const [program, help] of programs) {
    if (!(await isThere(program))) missing.push(`${program} is missing: ${help}`);
  }
  if (process.getuid?.() !== 0)
    missing.push('the agent needs root to make user namespaces and disks of runs: run it as root');
  if (!(await hasLoopDevices()))
    missing.push(
      'there are no loop devices (/dev/loop-control): load the module loop, or give the container that device',
    );
  const [buildah, runc] = await Promise.all([versionOf('buildah'), versionOf('runc')]);
  return {
    executor: `buildah ${buildah}, runc ${runc}`,
    isolation: 'user-namespace',
    platforms: platforms(),
    missing,
    warnings: [
      ...(isOlder(runc, safeRunc) ? [oldText('runc', runc, safeRunc)] : []),
      ...(isOlder(buildah, safeBuildah) ? [oldText('buildah', buildah, safeBuildah)] : []),
    ],
  };
}

async function isThere(program: string): Promise<boolean> {
  const paths = programPath.split(':').map((folder) => join(folder, program));
  const found = await Promise.all(
    paths.map((path) =>
      access(path, constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

async function hasLoopDevices(): Promise<boolean> {
  return await access('/dev/loop-control', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

async function versionOf(program: string): Promise<string> {
  const text = await readProgram([program, '--version'], { env: { PATH: programPath } }).catch(() => '');
  return /\d+\.\d+\.\d+/.exec(text)?.[0] ?? 'unknown';
}

function isOlder(found: string, safe: readonly number[]): boolean {
  const parts = found.split('.').map(Number);
  const difference = safe.map((part, at) => (parts[at] ?? 0) - part).find((step) => step !== 0) ?? 0;
  return !(difference >= 0);
}

function oldText(program: string, found: string, safe: readonly number[]): string {
  return `${program} ${found} lacks fixes for known escapes from containers (${safe.join('.')} has them): an escaped build is an ordinary user without rights here; for code that you do not trust use newer tools or a machine of its own`;
}

/** Others need emulation by binfmt for RUN; without RUN they are built as they are. */
function platforms(): readonly RunPlatform[] {
  const all = ['amd64', 'arm64', 'arm', '386'] as const;
  const own = all.find((name) => name === arch()) ?? 'amd64';
  return [own, ...all.filter((name) => name !== own)].map((architecture) => ({ os: 'linux' as const, architecture }));
}
