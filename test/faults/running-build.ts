import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { trialPrefix } from '../../src/agent/executors/try-room.ts';
import { armCaller } from '../support/arm-caller.ts';
import type { BerthServer } from '../support/berth-server.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Lines that the build prints, four in a second. */
export const printedLines = 40;

const printing = `i=0; while [ $i -lt ${printedLines} ]; do echo line $i; sleep 0.25; i=$((i+1)); done`;

/** Programs of this machine that its RUN has, beside a shell. */
const programs = ['sleep', 'date', 'cat', 'tail', 'head', 'yes', 'ln', 'ls', 'id'];

/** Queues a build that runs the line, which prints unless given. Resolves to the id of its run. */
export async function scheduleLongBuild(
  server: BerthServer,
  line = printing,
  agentConfiguration: AgentConfiguration = {},
): Promise<string> {
  const run = `RUN ${JSON.stringify(['/bin/sh', '-c', line])}`;
  return await scheduleBuild(server, `FROM scratch\nCOPY . /\n${run}\n`, agentConfiguration);
}

/** Processors of a run. */
export type AgentConfiguration = { readonly cpu?: number };

/** Queues a build that needs no other image: its files are those of `scheduleRunOf`. Resolves to the id of its run. */
export async function scheduleBuild(
  server: BerthServer,
  dockerfile: string,
  agentConfiguration: AgentConfiguration = {},
): Promise<string> {
  const asked = { type: 'DockerBuildRequest', dockerFilePath: 'Dockerfile', imageNames: ['app:one'] };
  return await scheduleRunOf(server, { Dockerfile: dockerfile }, { ...asked, agentConfiguration });
}

/**
 * Queues a run whose files are these, and a shell, some programs and what they need, of this machine. Resolves to the id of
 * the run.
 */
export async function scheduleRunOf(
  server: BerthServer,
  files: Readonly<Record<string, string>>,
  asked: Readonly<Record<string, unknown>>,
): Promise<string> {
  const folder = temporaryFolder('long-build');
  try {
    const archive = join(folder.path, 'context.tar');
    const listed = (await run('ldd', ['/bin/dash', ...programs.map((name) => `/bin/${name}`)])).stdout.matchAll(
      /(\/\S+\.so\S*) \(/g,
    );
    const libraries = [...new Set([...listed].map(([, path = '']) => path))];
    const script = [
      'mkdir -p "$1/bin"; cp /bin/dash "$1/bin/sh"; for each in $3; do cp "/bin/$each" "$1/bin/"; done',
      'root=$1; archive=$2; shift 3; for each; do mkdir -p "$root$(dirname "$each")"; cp -L "$each" "$root/$each"; done',
      'tar cf "$archive" -C "$root" .',
    ].join('\n');
    const root = join(folder.path, 'root');
    mkdirSync(root);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
    await run('sh', ['-ec', script, 'sh', root, archive, programs.join(' '), ...libraries]);
    const arm = await armCaller(server);
    const { uploadUrl, relativePath } = z
      .object({ uploadUrl: z.string(), relativePath: z.string() })
      .parse(await arm.post('listBuildSourceUploadUrl'));
    const { pathname, search } = new URL(uploadUrl);
    const answer = await fetch(`${server.http}${pathname}${search}`, {
      ...{ method: 'PUT', headers: { 'x-ms-blob-type': 'BlockBlob' }, body: readFileSync(archive) },
    });
    assert.equal(answer.status, 201);
    const made = await arm.post('scheduleRun', { ...asked, sourceLocation: relativePath });
    return z.looseObject({ name: z.string() }).parse(made).name;
  } finally {
    folder.remove();
  }
}

/** Names of the rooms that runs have on this server's own agent, or had; those that it tried at its start are of no run. */
export function roomsOf(server: BerthServer): string[] {
  const folder = join(server.dataFolder, 'agent');
  try {
    return readdirSync(folder).filter((name) => !name.startsWith(trialPrefix));
  } catch {
    // No agent yet.
    return [];
  }
}

/** Processes of this machine, by what the kernel says of them. */
export function processesThat(isMeant: (process: { words: readonly string[]; groups: string }) => boolean): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((id) => {
      try {
        const words = readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0');
        return isMeant({ words, groups: readFileSync(`/proc/${id}/cgroup`, 'utf8') });
      } catch {
        // It ended while we looked.
        return false;
      }
    })
    .map(Number);
}

/** The agent that the server started. What it starts itself looks like it for a moment, until that is another program. */
export function agentsOf({ dataFolder }: BerthServer): number[] {
  const found = processesThat(({ words }) => words.includes('agent') && words.includes(dataFolder));
  return found.filter((id) => {
    const parent = parentOf(id);
    return parent !== undefined && !found.includes(parent);
  });
}

/** Undefined when the process has ended. Source: proc(5), "/proc/pid/stat". */
function parentOf(id: number): number | undefined {
  try {
    return Number(/\) \S (\d+) /.exec(readFileSync(`/proc/${id}/stat`, 'utf8'))?.[1]);
  } catch {
    // It ended while we looked.
    return undefined;
  }
}

/** What this machine still has of a room: its folder, processes, control groups, and the device of its disk. Empty when it is gone. */
export async function leftOf(server: BerthServer, room: string): Promise<string[]> {
  // Groups of others come and go while it looks, which find tells as an error.
  const groups = (await tryRun('find', ['/sys/fs/cgroup', '-type', 'd', '-name', room])).stdout.split('\n');
  const devices = (await run('losetup', ['--list', '--noheadings', '--output', 'NAME,BACK-FILE'])).stdout.split('\n');
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return [
    ...roomsOf(server).filter((name) => name === room),
    ...processesThat(({ groups: own }) => own.includes(`/${room}`)).map((id) => `process ${id}`),
    ...groups.filter((line) => line !== ''),
    ...[...devices, ...mounts].filter((line) => line.includes(room)),
  ];
}
