/**
 * Why a call of ours had no answer. `blocked`: the address, port, scheme or redirect is not allowed; `timeout`: it took too
 * long; `tooLarge`: the body passed its limit; `failed`: name, connection, TLS or protocol, with the cause.
 */
export type OutboundFault = 'blocked' | 'timeout' | 'tooLarge' | 'failed';

export class OutboundError extends Error {
  readonly fault: OutboundFault;

  constructor(fault: OutboundFault, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = 'OutboundError';
    this.fault = fault;
  }

  /** Whether the same call can succeed later. */
  get isTemporary(): boolean {
    return this.fault === 'timeout' || this.fault === 'failed';
  }
}
