import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';

/** Where log lines go. Never waits and never throws. */
export type LineSink = {
  readonly write: (line: string) => void;
  /** How many lines were lost to a reader that is gone or stalled, or to a full disk. */
  readonly dropped: () => number;
};

/** Bytes that wait in memory for a slow reader. */
const maxWaitingBytes = 1024 * 1024;

/**
 * Writes lines to the process's standard output or error. Pipes and sockets are written without blocking, because a reader
 * that stalls would otherwise stop the event loop; files and terminals are written at once.
 */
export function createLineSink(stream: Writable & { readonly fd: number }): LineSink {
  const stat = fstatSync(stream.fd);
  return stat.isFIFO() || stat.isSocket() ? pipeSink(stream) : fileSink(stream.fd);
}

function pipeSink(stream: Writable): LineSink {
  let dropped = 0;
  stream.on('error', () => {
    // The reader is gone; each write's callback counts its line.
  });
  return {
    write: (line) => {
      if (stream.writableLength > maxWaitingBytes) dropped += 1;
      else
        stream.write(line, (error) => {
          if (error) dropped += 1;
        });
    },
    dropped: () => dropped,
  };
}

/** Not through the stream: after one failed write to a file it would keep all later lines in memory. */
function fileSink(fd: number): LineSink {
  let dropped = 0;
  return {
    write: (line) => {
      try {
        writeSync(fd, line);
      } catch {
        // A full disk or a closed terminal: the service goes on without this line.
        dropped += 1;
      }
    },
    dropped: () => dropped,
  };
}
