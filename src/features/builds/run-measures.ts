import type { RunRow } from './run-store.ts';

/** Notes a whole number in the metric's unit: milliseconds of a run, seconds of its processors. */
export type MeasureRun = (registryUid: string, metric: 'RunDuration' | 'AgentPoolCPUTime', value: number) => void;

/** What a run that has ended took. One that never began took nothing. */
export function measureRun(measure: MeasureRun, row: RunRow, cpuSeconds = 0): void {
  const { registry_uid: registryUid, started_at: startedAt, finished_at: finishedAt } = row;
  if (startedAt === null || finishedAt === null) return;
  measure(registryUid, 'RunDuration', Math.max(0, Math.round((finishedAt - startedAt) / 1_000)));
  if (cpuSeconds > 0) measure(registryUid, 'AgentPoolCPUTime', Math.round(cpuSeconds));
}
