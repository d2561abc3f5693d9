import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cacheFolder } from '../../test/support/cache-folder.ts';
import { Daemon } from '../../test/support/daemon.ts';
import { freePort } from '../../test/support/free-port.ts';
import { goTool } from '../../test/support/go-tools.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { ServerKind } from './server-kind.ts';
import { basicLine } from './target.ts';

type Command = { readonly program: string; readonly args: readonly string[] };
type Peer = {
  readonly name: string;
  readonly durability: string;
  /** Writes what the program needs below `folder` and says how to start it there. */
  readonly command: (folder: string, port: number) => Promise<Command>;
};

const zotVersion = 'v2.1.20';

/** Other registries, without authentication, each with deleting switched on and its log at warnings and above. */
const peers: readonly Peer[] = [
  {
    name: 'docker-registry',
    durability: 'fsync of every file; none of folder entries',
    command: async (folder, port) => ({
      program: programNamed('docker-registry', 'apt-get install docker-registry'),
      args: ['serve', written(folder, distributionConfig(join(folder, 'data'), port))],
    }),
  },
  {
    name: 'olareg',
    durability: 'no fsync',
    command: async (folder, port) => {
      const data = join(folder, 'data');
      mkdirSync(data);
      const args = [
        'serve',
        '--addr',
        '127.0.0.1',
        '--port',
        String(port),
        '--dir',
        data,
        '--api-delete',
        '--api-blob-delete',
      ];
      return { program: await goTool('olareg'), args };
    },
  },
  {
    name: 'zot',
    durability: 'commit: true, fsync of every file; none of folder entries',
    command: async (folder, port) => ({
      program: zotProgram(),
      args: ['serve', written(folder, zotConfig(join(folder, 'data'), port))],
    }),
  },
  {
    name: 'bare',
    durability: 'as berth: fsync of files, folders and a log; no registry, but what none in Node can leave out',
    command: async (folder, port) => ({
      program: process.execPath,
      args: [join(import.meta.dirname, 'bare-server.ts'), join(folder, 'data'), String(port)],
    }),
  },
];

export const peerNames: readonly string[] = peers.map((peer) => peer.name);

/** Throws on a name that is not in `peerNames`. */
export function peerNamed(name: string): ServerKind {
  const peer = peers.find((known) => known.name === name);
  if (peer === undefined) throw new Error(`no peer ${name}; known are ${peerNames.join(', ')}`);
  return { name: peer.name, durability: peer.durability, start: (folder) => startPeer(peer, folder) };
}

/** A registry that runs already: `http://user:password@host:port`. */
export function runningServer(url: string): ServerKind {
  const given = new URL(url);
  const origin = new URL(given.origin);
  const credentials =
    given.username === ''
      ? undefined
      : { username: decodeURIComponent(given.username), password: decodeURIComponent(given.password) };
  const target = {
    name: given.host,
    origin,
    ...(credentials === undefined ? {} : { credentials }),
    authorizationLines: credentials === undefined ? [] : [basicLine(credentials)],
    pid: () => undefined,
  };
  return { name: given.host, durability: 'unknown', start: async () => ({ target, stop: async () => {} }) };
}

async function startPeer(peer: Peer, folder: string) {
  const port = await freePort();
  const origin = new URL(`http://127.0.0.1:${port}`);
  const { program, args } = await peer.command(folder, port);
  const started = async () => {
    const daemon = new Daemon({ command: program, args, logFile: join(folder, 'log') });
    await waitFor(
      `${peer.name} answers`,
      60_000,
      async () => !daemon.running || (await fetch(new URL('/v2/', origin))).ok,
    );
    if (!daemon.running) throw new Error(`${peer.name} ended:\n${daemon.log()}`);
    return daemon;
  };
  let daemon = await started();
  const restart = async () => {
    await daemon.stop();
    const start = performance.now();
    daemon = await started();
    return performance.now() - start;
  };
  const target = { name: peer.name, origin, authorizationLines: [], pid: () => daemon.pid, restart };
  return {
    target,
    stop: async () => {
      await daemon.stop();
    },
  };
}

function written(folder: string, config: object): string {
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** JSON is YAML, which is what distribution reads. */
function distributionConfig(data: string, port: number): object {
  return {
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: data }, delete: { enabled: true }, cache: { blobdescriptor: 'inmemory' } },
    http: { addr: `127.0.0.1:${port}` },
  };
}

function zotConfig(data: string, port: number): object {
  return {
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: data, commit: true },
    http: { address: '127.0.0.1', port: String(port) },
    log: { level: 'warn' },
  };
}

/** Needs a newer Go than most machines have, so it is not built here. */
function zotProgram(): string {
  const cached = join(cacheFolder('go-tools'), `zot-${zotVersion}`);
  if (existsSync(cached)) return cached;
  return programNamed('zot', `GOEXPERIMENT=jsonv2 go install zotregistry.dev/zot/v2/cmd/zot@${zotVersion}`);
}

function programNamed(name: string, howToGet: string): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined) throw new Error(`${name} is not installed: ${howToGet}`);
  return found;
}
