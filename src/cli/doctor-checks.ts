import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { isCertificateCode } from './fetch-from.ts';

/** One thing looked at; `advice` says what to do where it is not well. */
export type Finding = {
  readonly what: string;
  readonly isWell: boolean;
  readonly advice?: string;
  /** Nothing is wrong, and it is worth knowing all the same. */
  readonly isNote?: true;
};

const timeoutMs = 5_000;
const leastFreeBytes = 1024 ** 3;
const leastFreeShare = 0.05;
const longestDriftMs = 30_000;
/** The private authority renews its certificates long before. */
const leastDays = 14;
const dayMs = 86_400_000;

/** The data folder, the folder of blobs where there is one, and the room that is left on each disk. */
export function foldersOf(dataFolder: string, blobsFolder = join(dataFolder, 'blob-store')): Finding[] {
  const isElsewhere = !blobsFolder.startsWith(`${dataFolder}/`);
  const isOther = isElsewhere && existsSync(blobsFolder) && !isSameDisk(blobsFolder, dataFolder);
  return [
    ...folderOf('data folder', dataFolder),
    ...(isElsewhere || existsSync(blobsFolder) ? folderOf('blob folder', blobsFolder) : []),
    ...(existsSync(dataFolder) ? [freeSpace(dataFolder)] : []),
    ...(isOther ? [freeSpace(blobsFolder)] : []),
  ];
}

function folderOf(name: string, path: string): Finding[] {
  if (!existsSync(path)) return [{ what: `${name} ${path} (made at the first start)`, isWell: true }];
  return [writable(`${name} ${path}`, path)];
}

function isSameDisk(a: string, b: string): boolean {
  return existsSync(b) && statSync(a).dev === statSync(b).dev;
}

function writable(what: string, path: string): Finding {
  try {
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return { what, isWell: true };
  } catch {
    return {
      what,
      isWell: false,
      advice: 'This user cannot write there: run as its owner, or give another folder (--data, --blobs).',
    };
  }
}

/** Pushes are refused on a full disk, and the database needs room for every change. */
export function freeSpace(path: string): Finding {
  const { bavail, blocks, bsize, ffree, files } = statfsSync(path);
  const freeBytes = bavail * bsize;
  const what = `free space at ${path}: ${(freeBytes / 1024 ** 3).toFixed(1)} GiB of ${((blocks * bsize) / 1024 ** 3).toFixed(1)} GiB`;
  if (files > 0 && ffree === 0)
    return {
      what: `${what}, and no inodes`,
      isWell: false,
      advice: 'Remove small files there, or move the data: berth move.',
    };
  const isWell = freeBytes >= Math.min(leastFreeBytes, blocks * bsize * leastFreeShare);
  return {
    what,
    isWell,
    advice:
      'Free what nothing needs (berth gc, berth purge), enlarge the disk, or move the blobs to an object store: berth move.',
  };
}

/** Tokens are refused where clocks are minutes apart; the server says its time in every answer. */
export async function clockOf(origin: string): Promise<Finding[]> {
  const beganMs = Date.now();
  const answer = await fetch(`${origin}/healthz`, { signal: AbortSignal.timeout(timeoutMs) });
  await answer.body?.cancel();
  const serverMs = Date.parse(answer.headers.get('date') ?? '');
  if (Number.isNaN(serverMs)) return [];
  // The header has whole seconds.
  const driftMs = Math.max(0, Math.abs(serverMs + 500 - (beganMs + Date.now()) / 2) - 500);
  const what = `the clocks of server and this machine are ${Math.round(driftMs / 1_000)} s apart`;
  return [
    {
      what,
      isWell: driftMs <= longestDriftMs,
      advice:
        'Have both follow the same time servers (systemd-timesyncd, chrony): tokens and certificates depend on it.',
    },
  ];
}

export type TlsPlace = { readonly host: string; readonly port: number };

/** The certificate that clients are shown for a name. */
export async function certificateOf(name: string, { host, port }: TlsPlace): Promise<Finding> {
  const what = `certificate of ${name}`;
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  const socket: TLSSocket = connect({ host, port, servername: name, timeout: timeoutMs }, () => resolve(undefined));
  socket.once('error', resolve);
  socket.once('timeout', () => resolve(new Error('no answer')));
  const error = await promise;
  const certificate = error === undefined ? socket.getPeerCertificate() : undefined;
  socket.destroy();
  if (error !== undefined || certificate === undefined) return notShown(what, error);
  return lasting(what, certificate);
}

function notShown(what: string, error: Error | undefined): Finding {
  const code = error !== undefined && 'code' in error ? String(error.code) : (error?.message ?? '');
  const advice = isCertificateCode(code)
    ? 'Give --tls-certificates a certificate for this name, trust its authority here (NODE_EXTRA_CA_CERTS), or leave the name to the private one.'
    : 'Look whether the server listens there, and what of it a proxy before it passes on.';
  return { what: `${what} (${code})`, isWell: false, advice };
}

function lasting(what: string, { valid_to }: PeerCertificate): Finding {
  const days = Math.floor((Date.parse(valid_to) - Date.now()) / dayMs);
  return {
    what: `${what} is trusted, for ${days} days more`,
    isWell: days >= leastDays,
    advice: 'Put a new one in the place of the file that --tls-certificates names: it is read again at once.',
  };
}

export async function portFree({
  name,
  host,
  port,
}: {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}): Promise<Finding> {
  const what = `${name} can listen on ${host}:${port}`;
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  server.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  server.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port }, () => resolve(undefined));
  const failure = await promise;
  server.close();
  if (failure === undefined) return { what, isWell: true };
  return {
    what: `${what} (${failure})`,
    isWell: false,
    advice: `Stop what uses the port, or give --${name} another one.`,
  };
}
