import type { DirectoryRight } from '../../features/identity/directory-rights.ts';
import type { GraphCall } from './graph-call.ts';

/** A route of the directory with the right it needs; checked once, before the handler. */
export type GraphRoute = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Below `/graph/v1.0`. */
  readonly path: string;
  readonly right: DirectoryRight;
  readonly handle: (call: GraphCall) => Promise<Response>;
};
