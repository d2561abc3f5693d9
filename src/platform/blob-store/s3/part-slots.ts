const mebibyte = 1024 * 1024;

/** How many parts have which length. S3 takes at most 10,000 parts of one object, and none but the last below 5 MiB. */
const tiers = [
  { count: 3_000, slotBytes: 5 * mebibyte },
  { count: 3_000, slotBytes: 20 * mebibyte },
  { count: 3_999, slotBytes: 80 * mebibyte },
] as const;

/** A place for a part: parts of different slots of one object never get the same number. */
export type Slot = {
  /** From 1 to 10,000, growing with the offset. */
  readonly number: number;
  /** First byte of the object in it. */
  readonly start: number;
  readonly sizeBytes: number;
};

/**
 * The slot that a byte of an object lies in: whoever goes on with an upload needs nothing but its offset. Reaches to 385 GB.
 * Source: Amazon S3 user guide, "Multipart upload limits".
 */
export function slotAt(offset: number): Slot {
  let tierStart = 0;
  let number = 1;
  for (const { count, slotBytes } of tiers) {
    const index = Math.floor((offset - tierStart) / slotBytes);
    if (index < count) return { number: number + index, start: tierStart + index * slotBytes, sizeBytes: slotBytes };
    tierStart += count * slotBytes;
    number += count;
  }
  throw new RangeError(`an object of S3 cannot have a part at byte ${offset}`);
}

/** Answers with the slots one after the other from the one that a byte lies in. */
export function slotsFrom(offset: number): (index: number) => Slot {
  const known = [slotAt(offset)];
  return (index) => {
    let slot = known[Math.min(index, known.length - 1)] ?? slotAt(offset);
    while (known.length <= index) {
      slot = slotAt(slot.start + slot.sizeBytes);
      known.push(slot);
    }
    return slot;
  };
}
