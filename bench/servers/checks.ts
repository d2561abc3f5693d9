import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { Daemon } from '../../test/support/daemon.ts';
import { freePort } from '../../test/support/free-port.ts';
import { waitFor } from '../../test/support/wait-for.ts';
import type { ServerKind } from './server-kind.ts';
import { basicLine } from './target.ts';

const adminSchema = z.object({ username: z.string(), password: z.string() });

/**
 * What the check of credentials and rights costs: the program's application with it and without it, else the same and with
 * nothing else at work in the process.
 */
export function withAndWithoutChecks(): ServerKind[] {
  return [kindOf('berth-checked', []), kindOf('berth-open', ['open'])];
}

function kindOf(name: string, mode: readonly string[]): ServerKind {
  return {
    name,
    durability: 'as berth',
    start: async (folder) => {
      const port = await freePort();
      const origin = new URL(`http://127.0.0.1:${port}`);
      const data = join(folder, 'data');
      const args = [join(import.meta.dirname, 'app-server.ts'), data, String(port), ...mode];
      const daemon = new Daemon({ command: process.execPath, args, logFile: join(folder, 'log') });
      const answers = async () => !daemon.running || (await fetch(new URL('/healthz', origin))).ok;
      await waitFor(`${name} answers`, 60_000, answers);
      if (!daemon.running) throw new Error(`${name} ended:\n${daemon.log()}`);
      const credentials = adminSchema.parse(JSON.parse(readFileSync(join(data, 'admin.json'), 'utf8')));
      const authorizationLines = [basicLine(credentials)];
      return {
        target: { name, origin, credentials, authorizationLines, pid: () => daemon.pid },
        stop: async () => {
          await daemon.stop();
        },
      };
    },
  };
}
