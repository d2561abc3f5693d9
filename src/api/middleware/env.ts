import type { HttpBindings } from '@hono/node-server';
import type { Principal } from '../../features/identity/principal.ts';
import type { Registry } from '../../features/registries/registry.ts';

/** What the outermost middleware knows of a request on the data plane before any route runs. */
export type Call = {
  /** Echoed or new; in the answer and in every log line. */
  readonly correlationId: string;
  /** The client's address after trusted proxies. */
  readonly address: string;
  /** Scheme and host the client used, checked against the names this installation answers; never an untrusted Host. */
  readonly origin: string;
  readonly userAgent: string | undefined;
  /** Picked by the host. */
  readonly registry: Registry;
};

/**
 * `principal` is who was let in, where a route has found out; for the log. `Bindings` are Node's own request and response; absent where
 * a test calls the app without a socket.
 */
export type Env = { Variables: { call: Call; principal?: Principal }; Bindings: Partial<HttpBindings> };
