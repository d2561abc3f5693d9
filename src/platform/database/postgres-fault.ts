import { BerthError } from '../../core/errors.ts';
import { DuplicateKey } from './duplicate-key.ts';
import { MissingValue } from './missing-value.ts';

const retryAfterSeconds = 1;

// Source: https://www.postgresql.org/docs/15/errcodes-appendix.html
const serializationFailure = '40001';
const deadlockDetected = '40P01';
const uniqueViolation = '23505';
const notNullViolation = '23502';
const diskFull = '53100';
const featureNotSupported = '0A000';
const readOnlyTransaction = '25006';
const lockNotAvailable = '55P03';
/** Too many connections, lock and statement time-outs. */
const busyCodes = new Set(['53300', lockNotAvailable, '57014']);
/** The server stops, crashed, or is starting; or ended a transaction that stood idle. */
const lostCodes = new Set(['57P01', '57P02', '57P03', '25P03', '57P05']);
/** What Node reports when a connection breaks or cannot be made. */
const networkCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
]);

/** What callers of the database get for an error of the driver or the server; anything else comes back as it is. */
export function postgresFault(error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof Error && code === uniqueViolation) return new DuplicateKey(textOf(error, 'constraint'), error);
  if (error instanceof Error && code === notNullViolation)
    return new MissingValue(`${textOf(error, 'table')}.${textOf(error, 'column')}`, error);
  if (code === diskFull) return new BerthError('storageFull', undefined, { cause: error });
  if (code === readOnlyTransaction) return new BerthError('storageReadOnly', undefined, { cause: error });
  if (isLostRace(error) || isLostConnection(error) || busyCodes.has(code))
    return new BerthError('busy', undefined, { cause: error, retryAfterSeconds });
  return error;
}

/** Whether a transaction that failed with this fault did certainly not commit and can succeed when run again. */
export function isTransient(fault: unknown): boolean {
  return fault instanceof BerthError && (isLostRace(fault.cause) || isLostConnection(fault.cause));
}

/** The server chose this transaction to lose: it is rolled back, whichever statement said so. */
export function isLostRace(error: unknown): boolean {
  const code = codeOf(error);
  return code === serializationFailure || code === deadlockDetected || isStalePlan(error);
}

/** Somebody else holds what a statement has to lock, for longer than it may wait. */
export function isLockTimeout(error: unknown): boolean {
  return codeOf(error) === lockNotAvailable;
}

/** A statement that this connection prepared before the table got other columns; the next version of the program is being started. */
export function isStalePlan(error: unknown): boolean {
  return (
    codeOf(error) === featureNotSupported && error instanceof Error && /cached plan must not change/.test(error.message)
  );
}

function isLostConnection(error: unknown): boolean {
  const code = codeOf(error);
  if (code !== '') return lostCodes.has(code) || networkCodes.has(code) || /^08...$/.test(code);
  // The driver gives these no code: "Connection terminated unexpectedly", "timeout exceeded when trying to connect", "Query read timeout".
  return (
    error instanceof Error &&
    /^(connection terminated|timeout exceeded|query read timeout|client (was closed|has encountered))/i.test(
      error.message,
    )
  );
}

/** Whether the server said it; a connection may break without a word. Source: PostgreSQL, "Error and Notice Message Fields". */
export function isServerError(error: unknown): error is Error {
  return error instanceof Error && textOf(error, 'severity') !== '';
}

/** What the server says of an error in one of its fields. */
function textOf(error: Error, field: 'constraint' | 'table' | 'column' | 'severity'): string {
  const text = new Map(Object.entries(error)).get(field);
  return typeof text === 'string' ? text : '';
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
