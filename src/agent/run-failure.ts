/** A run, or a step of it, that cannot go on for a reason that its owner can do something about. */
export class RunFailure extends Error {
  override readonly name = 'RunFailure';
}

/** Of a program of ours that ends with one: its text stands on standard error. */
export const failureExitCode = 65;

export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
