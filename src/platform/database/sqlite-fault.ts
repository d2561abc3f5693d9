import { BerthError } from '../../core/errors.ts';
import { MissingValue } from './missing-value.ts';

// Source: https://sqlite.org/rescode.html (a primary code is the low byte of an extended one)
const busyCode = 5;
const readOnlyCode = 8;
const ioErrorCode = 10;
const fullCode = 13;
/** A full disk met while the shared-memory file grows; reported as an I/O error. */
const sharedMemorySizeCode = 4874;
const notNullCode = 1299;

export const busyRetrySeconds = 1;

/** Whether another connection holds the lock that a statement needs. */
export function isSqliteBusy(error: unknown): boolean {
  return primaryCode(error) === busyCode;
}

/** Whether the disk failed; one that is full, or a lock that is held, is something else. */
export function isSqliteIoError(error: unknown): boolean {
  return primaryCode(error) === ioErrorCode && extendedCode(error) !== sharedMemorySizeCode;
}

/** What callers of the database get for an error that SQLite threw; anything else comes back as it is. */
export function sqliteFault(error: unknown): unknown {
  if (error instanceof Error && extendedCode(error) === notNullCode)
    return new MissingValue(/: (\S+)$/.exec(error.message)?.[1] ?? '', error);
  if (extendedCode(error) === sharedMemorySizeCode) return new BerthError('storageFull', undefined, { cause: error });
  switch (primaryCode(error)) {
    case busyCode:
      return new BerthError('busy', undefined, { cause: error, retryAfterSeconds: busyRetrySeconds });
    case readOnlyCode:
      return new BerthError('storageReadOnly', undefined, { cause: error });
    case fullCode:
      return new BerthError('storageFull', undefined, { cause: error });
    case ioErrorCode:
      return new BerthError('internal', undefined, { cause: error });
    default:
      return error;
  }
}

function primaryCode(error: unknown): number | undefined {
  const code = extendedCode(error);
  return code === undefined ? undefined : code & 0xff;
}

function extendedCode(error: unknown): number | undefined {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : undefined;
}
