import type { Log } from './log.ts';

/** The oldest release we test; older ones of this line have known holes (rule 25). */
const oldestNode = [26, 10, 0] as const;
const oldestSqlite = [3, 51, 3] as const;

/** Why this program must not start here. */
export class UnsafeRuntime extends Error {}

/** Throws UnsafeRuntime when Node or the SQLite inside it has known open holes. Takes `process.versions`. */
export function checkRuntime(versions: { readonly node: string; readonly sqlite?: string }): void {
  requireVersion('Node', versions.node, oldestNode);
  requireVersion('SQLite', versions.sqlite ?? '0', oldestSqlite);
}

function requireVersion(name: string, found: string, oldest: readonly number[]): void {
  const parts = found.split('.').map(Number);
  const difference = oldest.map((part, index) => (parts[index] ?? 0) - part).find((step) => step !== 0);
  if (difference !== undefined && !(difference > 0)) {
    throw new UnsafeRuntime(`${name} ${found} has known holes: use ${oldest.join('.')} or newer`);
  }
}

/**
 * What happens to faults that nobody caught. A rejected promise is logged and the service goes on: what it belonged to has
 * failed, and all state is in transactions. A thrown error may have left a callback half done, so the process logs it and
 * ends with status 1; nothing is lost, and its supervisor starts it again. A write beyond the process's file size limit fails
 * with an error instead of ending the process, and a reader of standard output or error that is gone costs what it would have read.
 */
export function guardProcess(log: Log): void {
  process.on('SIGXFSZ', () => {});
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => {
      // Its reader is gone; there is nowhere to tell.
    });
  }
  process.on('unhandledRejection', (error) => log.error('unhandled rejection', { error }));
  process.on('uncaughtException', (error) => {
    log.error('uncaught exception', { error });
    process.exit(1);
  });
}
