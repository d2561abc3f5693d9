import { cpus, release, totalmem } from 'node:os';
import { GiB } from '../images.ts';

/** The machine and runtime of a run, in one line. */
export function machineLine(): string {
  const processors = cpus();
  const memory = Math.round(totalmem() / GiB);
  return `${processors.length} cores ${processors[0]?.model ?? ''}, ${memory} GiB, Linux ${release()}, Node ${process.version}`;
}
