import { TaskError } from '../../wire/tasks/task-error.ts';
import type { Cell } from '../executors/cell.ts';
import { ProgramError } from '../program.ts';
import { RunFailure } from '../run-failure.ts';

export type SecretSource = {
  readonly cell: Cell;
  /** Folders of the cell that secrets may lie in, by the path that the step gives them; the first that fits counts. */
  readonly folders: ReadonlyMap<string, string>;
  /** Absolute, as steps see it: relative paths begin here. */
  readonly workingDirectory: string;
  readonly signal: AbortSignal;
};

/**
 * Copies $1 to where no step writes, and prints the name of the copy. What was opened is looked at, not its name: steps that are
 * still at work may put a link there meanwhile.
 */
const copyScript = `
umask 077
exec 4< "$1"
case "$(readlink /proc/self/fd/4)" in "$2"/*) ;; *) exit 1 ;; esac
copy=$(mktemp "$3/secret-XXXXXXXX")
cat <&4 > "$copy"
echo "$copy"`;

/**
 * `id=name,src=path` as the builder is told it, with the path of a copy. The builder has the run's credentials open, so it must
 * follow no link that a step made. Throws TaskError, and RunFailure for a file that lies elsewhere or is not there.
 */
export async function secretInCell(written: string, source: SecretSource): Promise<string> {
  const parts = written.split(',').map((part) => part.split('='));
  const id = parts.find(([name]) => name === 'id')?.[1];
  const path = parts.find(([name]) => name === 'src' || name === 'source')?.[1];
  if (id === undefined || path === undefined) throw new TaskError('--secret needs id=NAME,src=PATH');
  const copy = await copied(path, source);
  if (copy === undefined)
    throw new RunFailure(`unable to prepare the secret: "${path}" is not among the files of the run`);
  return `id=${id},src=${copy}`;
}

async function copied(
  path: string,
  { cell, folders, workingDirectory, signal }: SecretSource,
): Promise<string | undefined> {
  const absolute = path.startsWith('/') ? path : `${workingDirectory}/${path}`;
  const [mount, folder] = [...folders].find(([each]) => absolute.startsWith(`${each}/`)) ?? [];
  if (mount === undefined || folder === undefined) return undefined;
  const words = [`${folder}${absolute.slice(mount.length)}`, folder, `${cell.folder}/tmp`];
  try {
    return (await cell.read(['sh', '-ec', copyScript, 'sh', ...words], { signal })).trim();
  } catch (cause) {
    if (!(cause instanceof ProgramError)) throw cause;
    return undefined;
  }
}
