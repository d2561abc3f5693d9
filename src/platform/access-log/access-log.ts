/** One line of the access log. */
export type Access = {
  readonly kind: 'pull' | 'denial' | 'signIn' | 'tokenIssue';
  readonly registryUid?: string;
  readonly repository?: string;
  readonly tag?: string;
  readonly digest?: string;
  readonly identity: string;
  /** `registryAdmin` and the like: everyone who uses an admin account looks the same. */
  readonly principalKind?: string;
  readonly address: string;
  readonly userAgent?: string;
  readonly correlationId: string;
  /** HTTP status of the answer. */
  readonly status: number;
  readonly reason?: string;
};

/**
 * Pulls, denials, sign-ins, token issue: written in batches at least every second, chained per process; up to a second may
 * be lost at power loss. Repeated denials from one address are counted, not listed (house plan, idea 2).
 */
export type AccessLog = {
  /** Never waits and never throws; drops and counts when the buffer is full. */
  readonly record: (access: Access) => void;
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
};
