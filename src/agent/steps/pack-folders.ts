import { join } from 'node:path/posix';
import type { TaskStep } from '../../wire/tasks/task-file.ts';
import { RunFailure } from '../run-failure.ts';
import type { RunRoom } from '../run-room.ts';
import { type CellFile, writeFiles } from '../write-files.ts';
import type { PackBuild } from './pack-words.ts';

/** Paths in the cell, by what the lifecycle has there. */
export type PackFolders = {
  /** Holds the others. */
  readonly root: string;
  readonly app: string;
  readonly layers: string;
  readonly platform: string;
  readonly auth: string;
  readonly certificates: string;
};

export function packFolders({ cell }: Pick<RunRoom, 'cell'>, step: Pick<TaskStep, 'id'>): PackFolders {
  const root = join(cell.folder, 'pack', step.id);
  const at = (name: string) => join(root, name);
  return {
    ...{ root, app: at('app'), layers: at('layers'), platform: at('platform') },
    ...{ auth: at('auth'), certificates: at('certificates') },
  };
}

/** Makes the folders of a lifecycle anew, which works on a copy of the run's files. Throws RunFailure, ProgramError. */
export async function prepareFolders(
  { cell, workspace, order }: RunRoom,
  step: TaskStep,
  { path, env }: PackBuild,
  folders: PackFolders,
  signal: AbortSignal,
): Promise<void> {
  const written = path.startsWith('/') ? path : join(step.workingDirectory ?? '/workspace', path);
  const below = /^\/workspace(\/.*)?$/.exec(written)?.[1] ?? (written === '/workspace' ? '' : undefined);
  const found =
    below === undefined
      ? ''
      : await cell.read(['realpath', '-e', '--', `${workspace}${below}`], { signal }).catch(() => '');
  signal.throwIfAborted();
  const source = found.trim();
  if (source !== workspace && !source.startsWith(`${workspace}/`))
    throw new RunFailure(`pack build: "${path}" is not among the files of the run`);
  const { root, app, layers, platform, auth, certificates } = folders;
  await cell.read(['rm', '-rf', '--', root], { signal });
  await cell.read(['mkdir', '-p', '--', layers, join(platform, 'env'), auth, certificates], { signal });
  await cell.read(['cp', '-a', '--', source, app], { signal });
  const texts = new Map([...env].map(([name, value]) => [join(platform, 'env', name), value]));
  if (order.caCertificate !== undefined) texts.set(join(certificates, 'registry.crt'), order.caCertificate);
  await writeFiles(cell, [...texts].map(fileOf), signal);
}

function fileOf([path, text]: readonly [string, string]): CellFile {
  return { path, bytes: new TextEncoder().encode(text) };
}

/** For the next phase, which reads it as root and removes it. */
export async function lendAuth(
  { cell }: Pick<RunRoom, 'cell'>,
  { auth }: PackFolders,
  text: string,
  signal: AbortSignal,
): Promise<void> {
  await writeFiles(cell, [{ ...fileOf([join(auth, 'registries'), text]), mode: 0o600 }], signal);
}
