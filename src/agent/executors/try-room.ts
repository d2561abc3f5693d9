import { existsSync } from 'node:fs';
import { ProgramError } from '../program.ts';
import { reasonOf } from '../run-failure.ts';
import { createBuildah } from './buildah.ts';
import type { Cell } from './cell.ts';
import type { OciState } from './container-isolation.ts';
import { firstTrialUser } from './room-users.ts';
import { openUserCell } from './user-cell.ts';

export type TrialPlace = {
  /** Where rooms of runs lie, or one like it. */
  readonly folder: string;
  /** Random, as names of runs' folders. */
  readonly uid: () => string;
};

export type RoomTrial =
  | { readonly kind: 'room'; readonly oci: OciState }
  | { readonly kind: 'none'; readonly why: string };

const limits = { cpus: 1, memoryMiB: 512, diskMiB: 64, processes: 200 };
const startMs = 60_000;
/** What a busy machine did not do in time is no reason to do without it. */
const tries = 2;
const longestReason = 300;
/** Of the room's own, with the programs of the machine and what they need. Source: hier(7). */
const programFolders = ['/usr', '/lib', '/lib32', '/lib64', '/libx32'];

const noRunc: OciState = { works: false, why: 'runc is missing', help: 'apt install runc' };

/** Makes a room as runs have it and, where runc is there, starts a container in it as steps are started. Takes a second. */
export async function tryRoom(place: TrialPlace, hasRunc: boolean): Promise<RoomTrial> {
  let trial = await tryOnce(place, hasRunc);
  for (let attempt = 1; attempt < tries && !isGood(trial, hasRunc); attempt += 1) trial = await tryOnce(place, hasRunc);
  return trial;
}

function isGood(trial: RoomTrial, hasRunc: boolean): boolean {
  return trial.kind === 'room' && (trial.oci.works || !hasRunc);
}

async function tryOnce({ folder, uid }: TrialPlace, hasRunc: boolean): Promise<RoomTrial> {
  let cell: Cell;
  try {
    const name = `trial-${uid()}`;
    cell = await openUserCell({ name, root: folder, limits, firstUserId: firstTrialUser, hosts: [] });
  } catch (cause) {
    return { kind: 'none', why: shortOf(cause) };
  }
  try {
    return { kind: 'room', oci: hasRunc ? await tryContainer(cell) : noRunc };
  } finally {
    await cell.close();
  }
}

async function tryContainer(cell: Cell): Promise<OciState> {
  try {
    await startContainer(cell);
    return { works: true };
  } catch (cause) {
    const help = `it says "${shortOf(cause)}"; script/build-tools makes a newer one`;
    return { works: false, why: 'runc starts no containers here', help };
  }
}

/** Of no image. Throws ProgramError with what was printed. */
async function startContainer(cell: Cell): Promise<void> {
  const signal = AbortSignal.timeout(startMs);
  const printed: Uint8Array[] = [];
  const output = { add: async (chunk: Uint8Array) => void printed.push(chunk), end: async () => {} };
  const { start } = createBuildah({ cell, env: {}, isolation: 'oci' });
  const { exited } = await start(
    {
      ...{ name: 'trial', image: 'scratch', entryPoint: '/usr/bin/true', arguments: [], env: [] },
      ...{ workingDirectory: undefined, user: undefined, isPrivileged: false },
      ...{ network: undefined, aliases: [], pulls: false },
      mounts: new Map(programFolders.filter((path) => existsSync(path)).map((path) => [path, path])),
    },
    { output, signal, starting: signal },
  );
  const code = await exited;
  if (code !== 0) throw new ProgramError('runc', code, Buffer.concat(printed).toString('utf8'));
}

/** On one line; programs say last what stopped them. */
function shortOf(cause: unknown): string {
  return reasonOf(cause).trim().replaceAll(/\s+/g, ' ').slice(-longestReason);
}
