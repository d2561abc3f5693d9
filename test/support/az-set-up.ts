import { join } from 'node:path';
import type { BerthServer } from './berth-server.ts';

const berth = join(import.meta.dirname, '../../bin/berth');

/**
 * What a person types to use a server with `az`, for a shell with `-eu`; its last line on standard output is the file
 * with the trusted authorities. `options` go to `az-cloud`. The settings and test variables of this process are kept from the command.
 */
export function azSetUp({ dataFolder }: BerthServer, options = ''): string {
  const names = Object.keys(process.env).filter((name) => name.startsWith('BERTH_'));
  return [
    ...names.map((name) => `unset ${name}`),
    // In two steps: the shell does not see that a command inside `eval "$(…)"` failed.
    `lines="$('${berth}' az-cloud --data '${dataFolder}' ${options})"`,
    'eval "$lines"',
    'echo "$REQUESTS_CA_BUNDLE"',
  ].join('\n');
}
