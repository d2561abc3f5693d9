/**
 * The milliseconds that this thread computes for `work`: a machine that is busy with other things makes it wait, not compute.
 * Source: getrusage(2), RUSAGE_THREAD.
 */
export function cpuMsOf(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  return cpuMsSince(before);
}

/** As `cpuMsOf`, since an earlier answer of `process.threadCpuUsage()`. */
export function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}
