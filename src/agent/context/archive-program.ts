import { pipeline } from 'node:stream/promises';
import { failureExitCode, RunFailure } from '../run-failure.ts';
import { safeArchive } from './archive.ts';
import { unframed } from './frames.ts';

// A program of its own: archives of a context on standard input, in frames; what is harmless of them on standard output, as tar.
// Arguments: how many entries and bytes they may have.
const [maxEntries = 0, maxBytes = 0] = process.argv.slice(2).map(Number);
try {
  await pipeline(safeArchive(unframed(process.stdin), { maxEntries, maxBytes }), process.stdout, { end: false });
} catch (cause) {
  if (!(cause instanceof RunFailure)) throw cause;
  process.stderr.write(cause.message);
  // Whoever sends the archives may not end with us.
  process.exit(failureExitCode);
}
