/** A token bucket at a moment: whole numbers, as databases keep them. One that nobody has drawn from is full. */
export type Bucket = {
  /** In 60-millionths of a request, as of `atMicros`: what one request per minute adds in a microsecond. */
  readonly level: number;
  /** Microseconds of any clock, the same for all draws. */
  readonly atMicros: number;
  /** It was found empty and refuses until then; 0 while it does not. */
  readonly closedUntilMicros: number;
};

export type BucketRule = {
  /** Requests per minute, spread evenly; a full bucket holds as many. */
  readonly perMinute: number;
  /** How long a bucket that was found empty refuses; it fills meanwhile. */
  readonly pauseMicros: number;
};

const minuteMicros = 60_000_000;
/** Level of one request. */
const request = minuteMicros;

export function fullBucket({ perMinute }: BucketRule, atMicros: number): Bucket {
  return { level: perMinute * request, atMicros, closedUntilMicros: 0 };
}

/**
 * Draws up to `wanted` requests; none where the bucket refuses, and one that is found empty refuses from then on.
 * Source: ACR semantics, "Request rate limits".
 */
export function drawFrom(
  bucket: Bucket,
  rule: BucketRule,
  nowMicros: number,
  wanted: number,
): { readonly bucket: Bucket; readonly drawn: number } {
  const filled = filledBucket(bucket, rule, nowMicros);
  if (filled.closedUntilMicros > nowMicros) return { bucket: filled, drawn: 0 };
  const drawn = Math.min(wanted, wholeRequests(filled));
  if (drawn === 0) return { bucket: { ...filled, closedUntilMicros: nowMicros + rule.pauseMicros }, drawn };
  return { bucket: { ...filled, level: filled.level - drawn * request, closedUntilMicros: 0 }, drawn };
}

/** Puts back what was drawn for a request that another bucket refused. */
export function giveBackTo(bucket: Bucket, { perMinute }: BucketRule, requests: number): Bucket {
  return { ...bucket, level: Math.min(perMinute * request, bucket.level + requests * request) };
}

/** How many requests a bucket holds, refusing or not. */
export function wholeRequests({ level }: Bucket): number {
  return Math.floor(level / request);
}

/**
 * As it is now. Where clocks of several machines differ, the one that is ahead fills it: no time counts twice. A time more than a
 * minute ahead was a mistake and is forgotten.
 */
function filledBucket(bucket: Bucket, { perMinute, pauseMicros }: BucketRule, nowMicros: number): Bucket {
  const passed = Math.min(nowMicros - bucket.atMicros, minuteMicros);
  const atMicros = passed < 0 && passed > -minuteMicros ? bucket.atMicros : nowMicros;
  return {
    level: Math.min(perMinute * request, bucket.level + Math.max(passed, 0) * perMinute),
    atMicros,
    closedUntilMicros: Math.min(bucket.closedUntilMicros, nowMicros + pauseMicros),
  };
}
