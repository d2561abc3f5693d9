/** A run, or a step of it, that cannot go on for a reason that its owner can do something about. */
export class RunFailure extends Error {
  override readonly name = 'RunFailure';
}

export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
