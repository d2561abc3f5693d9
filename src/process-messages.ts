import { z } from 'zod';

/** A worker ends with this status when the disk failed under the database. */
export const diskFailedCode = 74;

/** What one worker's metrics are before they are added up: as its registry lists them. */
const metricsSchema = z.array(z.record(z.string(), z.unknown()));
export type WorkerMetrics = z.infer<typeof metricsSchema>;

/** What a worker tells the primary process. */
export const workerMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready') }),
  z.object({ kind: z.literal('wake'), streams: z.array(z.string()) }),
  z.object({ kind: z.literal('metricsWanted'), question: z.int() }),
  z.object({ kind: z.literal('metrics'), gathering: z.int(), metrics: metricsSchema }),
]);
export type WorkerMessage = z.infer<typeof workerMessageSchema>;

/** What the primary process tells a worker. */
export const primaryMessageSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('wake'), streams: z.array(z.string()) }),
  z.object({ kind: z.literal('metricsWanted'), gathering: z.int() }),
  z.object({ kind: z.literal('metrics'), question: z.int(), all: z.array(metricsSchema) }),
]);
export type PrimaryMessage = z.infer<typeof primaryMessageSchema>;
