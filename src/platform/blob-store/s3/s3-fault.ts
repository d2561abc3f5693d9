import { S3ServiceException } from '@aws-sdk/client-s3';
import { BerthError } from '../../../core/errors.ts';
import { OutboundError } from '../../outbound/outbound-error.ts';
import { BlobMissing } from '../blob-store.ts';

const missingCodes = ['NoSuchKey', 'NoSuchUpload', 'InvalidPart', 'PreconditionFailed'];
/** What the client calls a 404 without a reason. */
const bareCode = 'NotFound';
const retryAfterSeconds = 1;

/** Whether the store says that an object, an upload or a part is not there, or no longer the one that was asked for. */
export function isMissing(cause: unknown): boolean {
  return cause instanceof S3ServiceException && missingCodes.includes(cause.name);
}

/** Whether the answer to HEAD, which has no room for a reason, says that an object is not there. */
export function isBareMissing(cause: unknown): boolean {
  return cause instanceof S3ServiceException && cause.name === bareCode;
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
  if (isBareMissing(cause)) return new BerthError('storeAway', undefined, { cause: noStore(cause), retryAfterSeconds });
  const isAway =
    cause instanceof S3ServiceException
      ? (cause.$metadata.httpStatusCode ?? 0) >= 500 || cause.$retryable !== undefined || cause.name === 'SlowDown'
      : cause instanceof Error && (cause.name === 'TimeoutError' || isTemporary(cause));
  return isAway ? new BerthError('storeAway', undefined, { cause, retryAfterSeconds }) : cause;
}

/** Whatever answers in its place, such as a proxy that has nowhere to send the request, says nothing about what is stored. */
function noStore(cause: unknown): Error {
  return new Error('the endpoint answers 404 without a reason, as no S3 service does: is it the right address?', {
    cause,
  });
}

function isTemporary(cause: Error): boolean {
  return cause instanceof OutboundError && cause.isTemporary;
}
