import type { RunResult } from '../../wire/builds/agent-protocol.ts';

type Report = Pick<RunResult, 'images' | 'dependencies'>;

/** In bytes, as JSON. Runs are read by the hundred, and told of by events. */
const maxReportBytes = 512 * 1024;

/** As much of what an agent reports as is kept: images before what they stand on, and each as a whole or not at all. */
export function keptReport({ images, dependencies }: Report): Report {
  let left = maxReportBytes;
  const fits = (each: object) => {
    // All of it is ASCII: a letter is a byte.
    const size = JSON.stringify(each).length + 1;
    if (size > left) return false;
    left -= size;
    return true;
  };
  return { images: images.filter(fits), dependencies: dependencies.filter(fits) };
}
