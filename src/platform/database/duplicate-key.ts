/**
 * A statement would have written a second row of a unique key: another transaction has written one since this one looked. Only PostgreSQL
 * says it so, as SQLite runs one transaction at a time.
 */
export class DuplicateKey extends Error {
  readonly constraint: string;

  constructor(constraint: string, cause: Error) {
    super(cause.message, { cause });
    this.constraint = constraint;
  }
}
