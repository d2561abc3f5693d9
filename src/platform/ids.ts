/** Randomness as the program sees it; tests pass a predictable one. */
export type Ids = {
  /** A new uid: 26 lower-case letters and digits, 128 random bits; safe in paths and host names, never reused. */
  readonly uid: () => string;
  /** A new random GUID, where Azure's protocols ask for that form. */
  readonly guid: () => string;
  /** Cryptographically random bytes. */
  readonly bytes: (count: number) => Uint8Array;
};
