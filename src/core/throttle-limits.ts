/** What a request counts as. `referrers` is the list of a manifest's referrers, `oauth` an exchange of tokens. */
export const requestClasses = ['read', 'write', 'delete', 'referrers', 'oauth'] as const;
export type RequestClass = (typeof requestClasses)[number];

/** `current` is what ACR publishes now; `older` what it did before: no figures for identities, deletions and tokens. */
export const throttleTableNames = ['current', 'older'] as const;
export type ThrottleTableName = (typeof throttleTableNames)[number];

export const throttledSkus = ['Basic', 'Standard', 'Premium'] as const;
export type ThrottledSku = (typeof throttledSkus)[number];

/** One bucket that a request draws from. */
export type ThrottleLimit = {
  readonly bucket: RequestClass;
  /** Whether all callers share it, or each identity or each address of strangers has its own. */
  readonly of: 'registry' | 'identity' | 'address';
  /** Requests per minute. */
  readonly perMinute: number;
};

/** All the buckets that a request of a class draws from: an empty one refuses it. */
export type ThrottleLimits = Readonly<Record<RequestClass, readonly ThrottleLimit[]>>;

const small = currentLimits({ read: 10_000, write: 2_000, delete: 1_000, referrers: 500, oauth: 10_000 });
const large = currentLimits({ read: 20_000, write: 4_000, delete: 4_000, referrers: 2_000, oauth: 20_000 });

/** Requests per minute. Source: ACR semantics, "Request rate limits". */
export const throttleTables: Readonly<Record<ThrottleTableName, Readonly<Record<ThrottledSku, ThrottleLimits>>>> = {
  current: { Basic: small, Standard: small, Premium: large },
  older: {
    Basic: olderLimits({ read: 1_000, write: 100 }),
    Standard: olderLimits({ read: 3_000, write: 500 }),
    Premium: olderLimits({ read: 10_000, write: 2_000 }),
  },
};

/** So many addresses have to spend what is theirs before strangers have spent what they share. */
const addressesToSpendAll = 10;

/** Those of strangers: their address first, so that none can spend alone what they share with all. */
export function strangersLimits(limits: ThrottleLimits): ThrottleLimits {
  return mapLimits(limits, (list) => [...limitsOfAddress(list), ...list]);
}

/** Those that hold strangers together where nobody else is throttled: what one identity may do. Signing in is left free. */
export function onlyStrangersLimits(limits: ThrottleLimits): ThrottleLimits {
  return { ...mapLimits(limits, (list) => [...limitsOfAddress(list), ...limitsOfIdentity(list)]), oauth: [] };
}

function limitsOfAddress(list: readonly ThrottleLimit[]): readonly ThrottleLimit[] {
  return limitsOfIdentity(list).map(({ bucket, perMinute }) => {
    return { bucket, of: 'address', perMinute: perMinute / addressesToSpendAll };
  });
}

/** Where the registry alone counts, an identity may do as much. */
function limitsOfIdentity(list: readonly ThrottleLimit[]): readonly ThrottleLimit[] {
  const ofIdentity = list.filter((limit) => limit.of === 'identity');
  return ofIdentity.length > 0 ? ofIdentity : list.map((limit) => ({ ...limit, of: 'identity' }));
}

function mapLimits(
  limits: ThrottleLimits,
  change: (list: readonly ThrottleLimit[]) => readonly ThrottleLimit[],
): ThrottleLimits {
  const { read, write, delete: deletion, referrers, oauth } = limits;
  return {
    read: change(read),
    write: change(write),
    delete: change(deletion),
    referrers: change(referrers),
    oauth: change(oauth),
  };
}

/** Undefined for a method that no route has. */
export function classOfMethod(method: string): RequestClass | undefined {
  switch (method) {
    case 'GET':
    case 'HEAD':
    case 'OPTIONS':
      return 'read';
    case 'PUT':
    case 'PATCH':
    case 'POST':
      return 'write';
    case 'DELETE':
      return 'delete';
    default:
      return undefined;
  }
}

/** The figures are those of a registry; an identity has half of them. */
function currentLimits(figures: Readonly<Record<RequestClass, number>>): ThrottleLimits {
  const both = (bucket: RequestClass): ThrottleLimit[] => [
    // The caller's own first: one who is refused takes nothing from the others.
    { bucket, of: 'identity', perMinute: figures[bucket] / 2 },
    { bucket, of: 'registry', perMinute: figures[bucket] },
  ];
  return {
    read: both('read'),
    write: both('write'),
    delete: both('delete'),
    referrers: [...both('referrers'), ...both('read')],
    oauth: [{ bucket: 'oauth', of: 'registry', perMinute: figures.oauth }],
  };
}

function olderLimits(figures: { readonly read: number; readonly write: number }): ThrottleLimits {
  const read: ThrottleLimit[] = [{ bucket: 'read', of: 'registry', perMinute: figures.read }];
  const write: ThrottleLimit[] = [{ bucket: 'write', of: 'registry', perMinute: figures.write }];
  return { read, write, delete: write, referrers: read, oauth: [] };
}
