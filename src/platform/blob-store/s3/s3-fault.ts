import { S3ServiceException } from '@aws-sdk/client-s3';
import { BerthError } from '../../../core/errors.ts';
import { OutboundError } from '../../outbound/outbound-error.ts';
import { BlobMissing } from '../blob-store.ts';

const missingCodes = ['NoSuchKey', 'NoSuchUpload', 'InvalidPart', 'PreconditionFailed', 'NotFound'];
const retryAfterSeconds = 1;

/** Whether the store says that an object, an upload or a part is not there, or no longer the one that was asked for. */
export function isMissing(cause: unknown): boolean {
  return cause instanceof S3ServiceException && missingCodes.includes(cause.name);
}

export function orMissing(cause: unknown): unknown {
  return isMissing(cause) ? new BlobMissing('the stored bytes are missing', { cause }) : cause;
}

/** Whether the fault answers a request whose first try may have been done: its answer was lost. */
export function wasTriedBefore(fault: BlobMissing): boolean {
  return fault.cause instanceof S3ServiceException && (fault.cause.$metadata.attempts ?? 1) > 1;
}

/** The catalogue's row for a store that is away or too busy after all retries; a mistake in its settings comes back as it is. */
export function s3Fault(cause: unknown): unknown {
  const isAway =
    cause instanceof S3ServiceException
      ? (cause.$metadata.httpStatusCode ?? 0) >= 500 || cause.$retryable !== undefined || cause.name === 'SlowDown'
      : cause instanceof Error && (cause.name === 'TimeoutError' || isTemporary(cause));
  return isAway ? new BerthError('storeAway', undefined, { cause, retryAfterSeconds }) : cause;
}

function isTemporary(cause: Error): boolean {
  return cause instanceof OutboundError && cause.isTemporary;
}
