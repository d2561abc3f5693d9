/**
 * A statement would have left a column empty that never is. One that is to be undone with its whole transaction under a condition does so on
 * purpose: nobody then has to wait for its answer before the commit.
 */
export class MissingValue extends Error {
  /** With its table: `registry_usage.bytes`. */
  readonly column: string;

  constructor(column: string, cause: Error) {
    super(cause.message, { cause });
    this.column = column;
  }
}
