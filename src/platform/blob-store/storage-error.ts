import { BerthError } from '../../core/errors.ts';

const fullCodes = ['ENOSPC', 'EDQUOT', 'EFBIG'];
const readOnlyCodes = ['EROFS', 'EACCES'];

/** The catalogue's row for a fault of the disk (full, over quota, over the process's file size, read-only); others as they are. */
export function storageError(cause: unknown): unknown {
  const code = errorCode(cause) ?? '';
  if (fullCodes.includes(code)) return new BerthError('storageFull', undefined, { cause });
  if (readOnlyCodes.includes(code)) return new BerthError('storageReadOnly', undefined, { cause });
  return cause;
}

/** `ENOENT` and the like. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
