/** A task, a Dockerfile or a command that cannot be done as it is written. The message says what, where, and what would fix it. */
export class TaskError extends Error {
  override readonly name = 'TaskError';
}
