import { existsSync, realpathSync } from 'node:fs';
import { programPath } from '../../src/agent/executors/user-cell.ts';
import { type PrivateMount, withPrivateMounts } from './private-mounts.ts';

/** The command line that runs a program for which this file lies in the place of runc, wherever agents look; `/dev/null` is no program: it has none. */
export function withRunc(file: string, command: string, args: readonly string[]) {
  const places = programPath.split(':').map((folder) => `${folder}/runc`);
  const found = [...new Set(places.filter((path) => existsSync(path)).map((path) => realpathSync(path)))];
  return withPrivateMounts(
    found.map((over): PrivateMount => ({ from: file, over })),
    command,
    args,
  );
}
