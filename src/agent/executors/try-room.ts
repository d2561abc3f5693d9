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
  /** There is no room, or it is not known whether runc starts containers in it; with what would help. */
  | { readonly kind: 'none'; readonly why: string; readonly help: string };

/** Of the names of these rooms; run ids begin otherwise. */
export const trialPrefix = 'trial-';
const limits = { cpus: 1, memoryMiB: 512, diskMiB: 64, processes: 200 };
const longestStartMs = 60_000;
const tries = 2;
const longestReason = 300;
/** Exit codes above it are of programs that a signal ended. */
const firstSignal = 128;
/** What the builder prints of a runc that was ended, or that the machine had nothing left for. */
const shortness = /\bsignal: |resource temporarily unavailable|cannot allocate memory|no space left on device/i;
/** Of the room's own, with the programs of the machine and what they need. Source: hier(7). */
const programFolders = ['/usr', '/lib', '/lib32', '/lib64', '/libx32'];

const noRunc: OciState = { works: false, why: 'runc is missing', help: 'apt install runc' };

/**
 * Makes a room as runs have it and, where runc is there, starts a container in it as steps are started. Takes a second. Only a
 * runc that ended by itself starts none here: of one that took too long, or that was ended, nothing is known. Throws the
 * signal's reason once nothing is left of the room.
 */
export async function tryRoom(
  place: TrialPlace,
  hasRunc: boolean,
  signal: AbortSignal,
  startMs = longestStartMs,
): Promise<RoomTrial> {
  const tryNow = () => tryOnce(place, hasRunc, signal, startMs);
  let trial = await tryNow();
  for (let attempt = 1; attempt < tries && !isGood(trial, hasRunc); attempt += 1) trial = await tryNow();
  return trial;
}

function isGood(trial: RoomTrial, hasRunc: boolean): boolean {
  return trial.kind === 'room' && (trial.oci.works || !hasRunc);
}

async function tryOnce(
  { folder, uid }: TrialPlace,
  hasRunc: boolean,
  signal: AbortSignal,
  startMs: number,
): Promise<RoomTrial> {
  signal.throwIfAborted();
  let cell: Cell;
  try {
    const name = `${trialPrefix}${uid()}`;
    cell = await openUserCell({ name, root: folder, limits, firstUserId: firstTrialUser, hosts: [] });
  } catch (cause) {
    const needs = 'an agent has to make namespaces of users, mounts, networks and control groups';
    const help = isOfFullDisk(cause) ? `make room on the disk of ${folder}` : needs;
    return { kind: 'none', why: `no room for a run can be made here (${shortOf(cause)})`, help };
  }
  try {
    return hasRunc ? await tryContainer(cell, signal, startMs) : { kind: 'room', oci: noRunc };
  } finally {
    await cell.close();
  }
}

async function tryContainer(cell: Cell, signal: AbortSignal, startMs: number): Promise<RoomTrial> {
  const timeout = AbortSignal.timeout(startMs);
  try {
    const refusal = await startContainer(cell, AbortSignal.any([signal, timeout]));
    if (refusal === undefined) return { kind: 'room', oci: { works: true } };
    const help = `it says "${shortOf(refusal)}"; script/build-tools makes a newer one`;
    return { kind: 'room', oci: { works: false, why: 'runc starts no containers here', help } };
  } catch (cause) {
    signal.throwIfAborted();
    const why = timeout.aborted ? `it took more than ${startMs / 1000} s` : shortOf(cause);
    const help = 'start the agent again when the machine has more to spare, or do without by --build-isolation chroot';
    return { kind: 'none', why: `runc could not be tried here (${why})`, help };
  }
}

/** Of no image. Resolves to why runc starts none; throws where something else kept it from starting one. */
async function startContainer(cell: Cell, signal: AbortSignal): Promise<ProgramError | undefined> {
  const printed: Uint8Array[] = [];
  const output = { add: async (chunk: Uint8Array) => void printed.push(chunk), end: async () => {} };
  const { start } = createBuildah({ cell, env: {}, isolation: 'oci' });
  const { exited } = await start(
    {
      ...{ name: 'trial', image: 'scratch', entryPoint: '/usr/bin/true', arguments: [], env: [] },
      ...{ workingDirectory: undefined, user: undefined, isPrivileged: false },
      ...{ network: undefined, aliases: [], pulls: false, cpus: undefined },
      mounts: new Map(programFolders.filter((path) => existsSync(path)).map((path) => [path, path])),
    },
    { output, signal, starting: signal },
  );
  const code = await exited;
  if (code === 0) return undefined;
  const refusal = new ProgramError('runc', code, Buffer.concat(printed).toString('utf8'));
  if (code > firstSignal || shortness.test(refusal.output)) throw refusal;
  return refusal;
}

function isOfFullDisk(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT');
}

/** On one line; programs say last what stopped them. */
function shortOf(cause: unknown): string {
  return reasonOf(cause).trim().replaceAll(/\s+/g, ' ').slice(-longestReason);
}
