import { BerthError, type ErrorName } from '../../core/errors.ts';

export type Refusal = {
  /** A whole sentence or more, in place of the catalogue's. */
  readonly message: string;
  /** The member of the request, or the resource, that it is about. */
  readonly target?: string;
  readonly details?: readonly { readonly code: string; readonly message: string; readonly target?: string }[];
};

/** An error of the control plane with its own words: the ARM surface shows them to whoever typed the request. */
export function refuse(error: ErrorName, refusal: Refusal): BerthError {
  return new BerthError(error, { ...refusal });
}
