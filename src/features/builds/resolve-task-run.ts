import type { TaskRunRequest } from '../../wire/builds/run-request.ts';
import type { Author, Resource } from '../resources/resource.ts';
import type { NewRun } from './run.ts';

/** The run that somebody asks of a task, with what they have otherwise. Throws `resourceUnknown`, `resourceInvalid`. */
export type ResolveTaskRun = (asked: {
  readonly registry: Resource;
  readonly request: TaskRunRequest;
  readonly author: Author;
}) => Promise<NewRun>;
