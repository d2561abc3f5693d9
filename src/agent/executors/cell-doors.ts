import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import { ProgramError } from '../program.ts';
import type { CellDoor } from './cell.ts';

export type DoorOptions = {
  /** A process inside the cell. */
  readonly inside: number;
  /** All that the program which listens sees. */
  readonly env: Readonly<Record<string, string>>;
  /** By port. */
  readonly answers: ReadonlyMap<number, (connection: Socket) => void>;
  /** Gets each one that is open, also where another fails. */
  readonly keep: (door: CellDoor) => void;
};

/** Of one door at a time: each takes descriptors of ours, which the cell's limits do not count. */
const maxConnections = 256;

/** Listens, hands its sockets over and ends: what accepts connections is our own process, outside the cell. */
const listenProgram = `
const { createServer } = require('node:net');
const ports = process.argv.slice(1).map(Number);
let left = ports.length;
for (const port of ports) {
  const server = createServer();
  server.on('error', (error) => process.send({ port, error: error.message }, () => process.exit(1)));
  server.listen({ port, host: '0.0.0.0', pauseOnConnect: true },
    () => process.send({ port }, server, () => { left -= 1; if (left === 0) process.exit(0); }));
}
`;

/** Opens doors by one program, however many they are. Throws ProgramError where a port is taken. */
export async function openDoors({ inside, env, answers, keep }: DoorOptions): Promise<readonly CellDoor[]> {
  if (answers.size === 0) return [];
  const args = ['--target', String(inside), '--net', '--', process.execPath, '-e', listenProgram];
  const child = spawn('nsenter', [...args, ...[...answers.keys()].map(String)], {
    env: { ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    cwd: '/',
  });
  const doors: CellDoor[] = [];
  await serversOf(child, answers.size, (port, server) => {
    const door = doorOf(server, answers.get(port) ?? ((connection) => connection.destroy()));
    doors.push(door);
    keep(door);
  });
  return doors;
}

async function serversOf(
  child: ChildProcess,
  count: number,
  take: (port: number, server: Server) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let taken = 0;
  child.on('message', (message, handle) => {
    const port = portIn(message);
    if (port === undefined || !isServer(handle)) return reject(new ProgramError('listen', 1, JSON.stringify(message)));
    take(port, handle);
    taken += 1;
    if (taken === count) resolve();
  });
  child.once('error', reject);
  child.once('exit', (code) => code !== 0 && reject(new ProgramError('listen', code ?? 1, 'a port of the cell')));
  await promise;
}

function portIn(message: unknown): number | undefined {
  const port = typeof message === 'object' && message !== null && 'port' in message ? message.port : undefined;
  return typeof port === 'number' ? port : undefined;
}

function isServer(handle: unknown): handle is Server {
  return typeof handle === 'object' && handle !== null && handle.constructor === createServer().constructor;
}

/** Closing it ends its connections too: nobody waits for what a cell holds open. */
function doorOf(server: Server, answer: (connection: Socket) => void): CellDoor {
  const open = new Set<Socket>();
  server.maxConnections = maxConnections;
  server.on('connection', (connection) => {
    open.add(connection);
    connection.once('close', () => open.delete(connection));
    answer(connection);
  });
  return {
    close: () => {
      server.close();
      for (const connection of open) connection.destroy();
    },
  };
}
