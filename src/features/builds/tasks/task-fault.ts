import { BerthError, errorCatalogue } from '../../../core/errors.ts';
import { SealError } from '../../../platform/keys/sealer.ts';

/**
 * Whether a run cannot be queued because of what its task says. Whoever starts tasks by themselves goes on with the next one
 * then; other faults are ours, or the database's, and go away.
 */
export function isFaultOfTask(error: unknown): error is BerthError | SealError {
  return error instanceof SealError || (error instanceof BerthError && errorCatalogue[error.error].status < 500);
}

/** Whether it is of the database, or of room on disk: every other task would meet it too, until it goes away. */
export function isFaultOfAll(error: unknown): boolean {
  return error instanceof BerthError && !isFaultOfTask(error);
}
