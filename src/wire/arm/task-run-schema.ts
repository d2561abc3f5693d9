import { z } from 'zod';
import { runRequestSchema } from '../builds/run-request.ts';

/** What can be set of a run that is described as a resource. Source: Microsoft.ContainerRegistry/registries/taskRuns. */
export const taskRunSchema = z.object({
  runRequest: runRequestSchema,
  /** Another one than before has the run made again. */
  forceUpdateTag: z.string().max(1_000).nullish(),
});
export type TaskRunProperties = z.infer<typeof taskRunSchema>;
