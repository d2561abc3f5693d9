import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, mkdir, open, rm, truncate, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { ProgramError, type ProgramOptions, readProgram, runProgram } from '../program.ts';
import { Turns } from '../turns.ts';
import type { Cell, CellDoor, CellLimits, CellOpening, CellProgram } from './cell.ts';
import { openDoors } from './cell-doors.ts';
import { type Cgroup, createCgroup } from './cgroup.ts';
import { roomUserCount } from './room-users.ts';
import { disown, ownerFile, ownMark } from './sweep.ts';
import { withoutRights } from './without-rights.ts';

export type UserCellOptions = Pick<CellOpening, 'hosts'> &
  Partial<CellOpening> & {
    /** Of the run: letters, digits and dashes; names its folder and its control group. */
    readonly name: string;
    /** Where folders of runs lie; on a file system with room. */
    readonly root: string;
    readonly limits: CellLimits;
    /** The first of 65,536 user ids of this machine that nobody else has; they are the cell's users from 0 on. */
    readonly firstUserId: number;
  };

/** Every cell has its own disk here: its mounts are seen by nobody else. */
const folder = '/mnt';
const address = '10.88.0.1';
const mebibyte = 1024 * 1024;
const startTimeoutMs = 20_000;
/** Programs of ours at a time that count within the limits of a cell. */
const maxBeside = 2;
/** Where script/build-tools puts newer ones than the distribution's; below /usr, which cells see. */
const toolsFolder = '/usr/local/lib/berth/bin';
export const programPath = `${toolsFolder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
const ownEnvironment = { PATH: programPath, LANG: 'C.UTF-8' };
const cellEnvironment = { ...ownEnvironment, HOME: '/root', TMPDIR: '/var/tmp', XDG_RUNTIME_DIR: '/run' };

/**
 * Mounts the disk, which nobody reads after its run: nothing on it waits for the disk of the machine, and what it has not written is
 * as empty as its file. Then makes the other namespaces. The last program is the cell's first process: it reaps, and does nothing.
 */
const openScript = `
mount -o loop,nodev,nosuid,discard,nobarrier,noinit_itable "$1" ${folder}
exec unshare --user --pid --mount --net --ipc --uts --fork --kill-child -- sh -c '
  read -r id rest < /proc/self/stat
  echo "$id"
  exec > /dev/null
  while :; do sleep 100000 & wait; done'
`;

/**
 * Makes the cell's own root and goes there: of the machine the programs in /usr and the certificates that are trusted, six
 * devices and /sys; the rest is the run's disk. Nothing else of the machine is in any mount of the cell. Then makes the bridge.
 * $1: names for the bridge's address.
 */
const prepareScript = `
umask 022
cd ${folder}
mkdir -p base run/netns run/lock tmp root lib etc/containers/certs.d workspace home secrets hosts storage runroot
chmod 1777 tmp
printf '{"default":[{"type":"insecureAcceptAnything"}]}' > etc/containers/policy.json
# Newer builders want a maker of networks to be there. Runs need none: their network is made below.
mkdir -p etc/containers/helpers
ln -s /bin/false etc/containers/helpers/netavark
printf '[engine]\\nhelper_binaries_dir = ["/etc/containers/helpers"]\\n' > etc/containers/containers.conf
printf 'unqualified-search-registries = ["docker.io"]\\nshort-name-mode = "permissive"\\n' > etc/containers/registries.conf
mount -t tmpfs -o nosuid,nodev,mode=755,size=4m tmpfs base
cd base
mkdir -p dev/shm etc/containers mnt old proc root run sys tmp usr var/lib var/tmp
for each in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$each" ]; then ln -s "$(readlink "/$each")" "$each"
  elif [ -d "/$each" ]; then mkdir "$each"; mount --rbind "/$each" "$each"; fi
done
for each in ssl/certs pki/ca-trust pki/tls/certs ca-certificates alternatives; do
  [ -d "/etc/$each" ] || continue
  mkdir -p "etc/$each"
  mount --rbind "/etc/$each" "etc/$each"
done
[ ! -e /etc/ld.so.cache ] || cp /etc/ld.so.cache etc/ld.so.cache
printf 'root:x:0:0:root:/root:/bin/sh\\nnobody:x:65534:65534:nobody:/:/bin/false\\n' > etc/passwd
printf 'root:x:0:\\nnogroup:x:65534:\\n' > etc/group
printf 'passwd: files\\ngroup: files\\nhosts: files dns\\n' > etc/nsswitch.conf
printf '' > etc/resolv.conf
printf '127.0.0.1 localhost\\n' > etc/hosts
for name in $1; do printf '${address} %s\\n' "$name" >> etc/hosts; done
for each in full null random tty urandom zero; do
  : > "dev/$each"
  mount --bind "/dev/$each" "dev/$each"
done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs dev/shm
mount -t proc -o nosuid,nodev,noexec proc proc
mount --rbind /sys sys
mount --rbind /usr usr
mount --bind ${folder} mnt
mount --bind mnt/etc/containers etc/containers
for each in run tmp root; do mount --bind "mnt/$each" "$each"; done
mount --bind mnt/lib var/lib
mount --bind mnt/tmp var/tmp
pivot_root . old
cd /
umount -l old
rmdir old
# Bridges are kept apart, whatever the machine does.
echo 0 > /proc/sys/net/ipv4/ip_forward
mount -o remount,bind,ro,nosuid,nodev /
ip link set lo up
ip link add bridge0 type bridge
ip address add ${address}/16 dev bridge0
ip link set bridge0 up
`;

/** Joins the control group, then becomes the program. */
const joinScript = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"';

/** Opens a cell. Throws ProgramError when this machine does not allow one; then nothing is left of it. */
export async function openUserCell(options: UserCellOptions): Promise<Cell> {
  const home = join(options.root, options.name);
  let cgroup: Cgroup | undefined;
  let holder: ChildProcess | undefined;
  const doors = new Set<CellDoor>();
  const closeAll = async () => {
    for (const door of doors) door.close();
    await endHolder(holder);
    const isGone = (await cgroup?.remove()) ?? true;
    // The folder stands for the group: it is left for the next sweeps where something in that does not end.
    if (isGone) await rm(home, { recursive: true, force: true, maxRetries: 5 });
    else await disown(home);
  };
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= closeAll();
    return closing;
  };
  try {
    await mkdir(home, { recursive: true, mode: 0o700 });
    // Before all else: whoever finds the folder later knows whose it is.
    await writeFile(join(home, ownerFile), (await ownMark()) ?? '');
    cgroup = await createCgroup(options.name, options.limits);
    const beside = besideOf(cgroup, options.firstUserId);
    options.onLimits?.(beside);
    const disk = await makeDisk(home, options);
    holder = spawnHolder(disk, cgroup);
    const first = await firstProcessOf(holder);
    await mapUsers(first, options.firstUserId);
    const open = (answers: CellOpening['doors']) =>
      openDoors({ inside: first, env: ownEnvironment, answers, keep: (door) => doors.add(door) });
    const cell = cellOf(first, cgroup, { ...options, home, open, beside, close });
    await allDone([
      cell.read(['sh', '-ec', prepareScript, 'sh', options.hosts.join(' ')], { cwd: '/' }),
      open(options.doors ?? new Map()),
    ]);
    return cell;
  } catch (cause) {
    await close();
    throw cause;
  }
}

/** Waits for all, also where one fails: none goes on by itself. Throws what the first of them threw. */
async function allDone(works: readonly Promise<unknown>[]): Promise<void> {
  for (const end of await Promise.allSettled(works)) if (end.status === 'rejected') throw end.reason;
}

/** A file with a file system of its own: the run's quota. */
async function makeDisk(home: string, { limits, firstUserId }: UserCellOptions): Promise<string> {
  const disk = join(home, 'disk');
  await writeFile(disk, '', { mode: 0o600 });
  await truncate(disk, limits.diskMiB * mebibyte);
  const owner = `root_owner=${firstUserId}:${firstUserId}`;
  // A disk that lives as long as its run needs no journal.
  const format = ['-q', '-F', '-O', '^has_journal', '-m', '0', '-E', `lazy_itable_init=1,${owner}`];
  await readProgram(['mkfs.ext4', ...format, disk], { env: ownEnvironment });
  return disk;
}

/** Ends with us, whatever ends us: the parent-death signal is kept by every program in this line. */
function spawnHolder(disk: string, cgroup: Cgroup): ChildProcess {
  const words = [
    ...['setpriv', '--pdeathsig', 'KILL', '--', 'sh', '-ec', joinScript, 'sh', ...cgroup.memberFiles, '--'],
    ...['unshare', '--mount', '--propagation', 'private', '--', 'sh', '-ec', openScript, 'sh', disk],
  ];
  const [command = '', ...args] = words;
  return spawn(command, args, { env: ownEnvironment, stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' });
}

async function firstProcessOf(holder: ChildProcess): Promise<number> {
  const output = { text: '', errors: '' };
  holder.stdout?.on('data', (chunk) => {
    output.text += chunk;
  });
  holder.stderr?.on('data', (chunk) => {
    output.errors += chunk;
  });
  const line = new Promise<void>((resolve) => {
    holder.stdout?.on('data', () => output.text.includes('\n') && resolve());
    holder.once('close', resolve);
    holder.once('error', (error) => {
      output.errors += error.message;
      resolve();
    });
  });
  const timeout = AbortSignal.timeout(startTimeoutMs);
  await Promise.race([line, once(timeout, 'abort')]);
  const id = Number(output.text.trim());
  if (Number.isInteger(id) && id > 1) return id;
  throw new ProgramError('unshare', holder.exitCode ?? 1, output.errors || 'no namespaces within 20 s');
}

/** Only a process outside may say which users stand for those inside. Source: user_namespaces(7). */
async function mapUsers(first: number, firstUserId: number): Promise<void> {
  const map = `0 ${firstUserId} ${roomUserCount}\n`;
  await writeFile(`/proc/${first}/gid_map`, map);
  await writeFile(`/proc/${first}/uid_map`, map);
}

async function endHolder(holder: ChildProcess | undefined): Promise<void> {
  if (holder === undefined || holder.exitCode !== null || holder.signalCode !== null) return;
  if (holder.pid === undefined) return;
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
}

type CellParts = {
  readonly home: string;
  readonly limits: CellLimits;
  readonly open: (answers: CellOpening['doors']) => Promise<readonly CellDoor[]>;
  readonly beside: Beside;
  readonly close: () => Promise<void>;
};

type Beside = Required<Pick<Cell, 'beside' | 'besideTurns'>>;

function besideOf({ memberFiles }: Cgroup, firstUserId: number): Beside {
  return {
    beside: (words) => [
      ...['sh', '-ec', joinScript, 'sh', ...memberFiles, '--'],
      // Of the run's users the one that has no files in the cell.
      ...withoutRights(firstUserId + roomUserCount - 1),
      ...words,
    ],
    besideTurns: new Turns(maxBeside),
  };
}

function cellOf(first: number, cgroup: Cgroup, { home, limits, open, beside, close }: CellParts): Cell {
  const enter = (words: readonly string[], cwd: string, { memberFiles }: Pick<Cgroup, 'memberFiles'>) => [
    ...['sh', '-ec', joinScript, 'sh', ...memberFiles, '--'],
    ...['nsenter', '--target', String(first), '--user', '--mount', '--pid', '--net', '--ipc', '--uts'],
    ...['--setuid', '0', '--setgid', '0', '--'],
    // Ends with nsenter, which is all that we can send a signal to.
    ...['setpriv', '--pdeathsig', 'TERM', '--', 'env', '-C', cwd, ...words],
  ];
  const within = async <Result>(
    words: readonly string[],
    { cwd = folder, env, given, cpus, ...program }: CellProgram,
    work: (line: readonly string[], options: ProgramOptions) => Promise<Result>,
  ): Promise<Result> => {
    const options = { ...program, env: { ...cellEnvironment, ...env } };
    await using part = cpus === undefined ? undefined : await cgroup.part(cpus);
    const line = enter(words, cwd, part ?? cgroup);
    if (given === undefined) return await work(line, options);
    await using file = await namelessFile(home, given);
    return await work(line, { ...options, openFile: file.fd });
  };
  return {
    folder,
    address,
    run: (words, program = {}) => within(words, program, runProgram),
    read: async (words, program = {}) => {
      try {
        return await within(words, program, readProgram);
      } catch (cause) {
        // It went in through others; what failed is this one.
        throw cause instanceof ProgramError ? new ProgramError(words[0] ?? '', cause.exitCode, cause.output) : cause;
      }
    },
    ...beside,
    listen: async (port, answer) => {
      const [door] = await open(new Map([[port, answer]]));
      if (door === undefined) throw new ProgramError('listen', 1, `port ${port}`);
      return door;
    },
    refusals: async () => ({ limits, ...(await cgroup.refusals()) }),
    cpuSeconds: cgroup.cpuSeconds,
    close,
  };
}

/** Whoever has it open may read it; nobody else finds it. */
async function namelessFile(home: string, text: string): Promise<FileHandle> {
  const path = join(home, randomUUID());
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  const file = await open(path, 'r');
  await rm(path);
  await file.chmod(0o444);
  return file;
}

/** Joins two connections; either end closes both. */
export function joinSockets(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    // What was sent before a good end is on its way yet.
    from.on('close', () => (from.readableEnded ? to.end() : to.destroy()));
  }
}
