import { RestError } from '@azure/storage-blob';
import { BerthError } from '../../../core/errors.ts';
import { OutboundError } from '../../outbound/outbound-error.ts';
import { BlobMissing } from '../blob-store.ts';

const missingCodes = ['BlobNotFound', 'InvalidBlockList', 'ConditionNotMet', 'BlobAlreadyExists'];
const retryAfterSeconds = 1;

export function isStatus(cause: unknown, status: number): boolean {
  return cause instanceof RestError && cause.statusCode === status;
}

/** Whether the service says that a blob or block is not there; a container that is not there is a mistake in the settings. */
export function isMissing(cause: unknown): boolean {
  if (!(cause instanceof RestError)) return false;
  // An answer to HEAD has its code in a header alone.
  const code = cause.code ?? cause.response?.headers.get('x-ms-error-code') ?? '';
  return missingCodes.includes(code) || (cause.statusCode === 404 && code !== 'ContainerNotFound');
}

export function orMissing(cause: unknown): unknown {
  return isMissing(cause) ? new BlobMissing('the stored bytes are missing', { cause }) : cause;
}

/** The catalogue's row for a store that is away or too busy after all retries; a mistake in its settings comes back as it is. */
export function azureFault(cause: unknown): unknown {
  const isAway =
    (cause instanceof RestError && (cause.statusCode === undefined || cause.statusCode >= 500)) ||
    (cause instanceof OutboundError && cause.isTemporary);
  return isAway ? new BerthError('storeAway', undefined, { cause, retryAfterSeconds }) : cause;
}
