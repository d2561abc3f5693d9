import type { Done, PushEntry, ReadEntry } from './history.ts';

type Zone = { readonly digest: string | undefined; readonly fromMs: number; readonly toMs: number };

/**
 * Whether reads of one tag could have happened in some order with its writes, none of which another equals. Undefined when
 * they could, else what contradicts. A write whose outcome is unknown counts from the moment somebody read it.
 * Method: Gibbons and Korach, "Testing shared memories", for a register with unique values: each value has a zone from its
 * first end to its last start; two zones that both run forward may not overlap, nor may one that runs backward lie within one.
 */
export function disorder(writes: readonly Done<PushEntry>[], reads: readonly Done<ReadEntry>[]): string | undefined {
  const values = new Map(writes.map((write) => [write.manifest.digest, write]));
  const zones = new Map<string | undefined, { minEnd: number; maxStart: number }>();
  const widen = (digest: string | undefined, startMs: number, endMs: number) => {
    const zone = zones.get(digest) ?? { minEnd: Number.POSITIVE_INFINITY, maxStart: Number.NEGATIVE_INFINITY };
    zones.set(digest, { minEnd: Math.min(zone.minEnd, endMs), maxStart: Math.max(zone.maxStart, startMs) });
  };
  widen(undefined, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY);
  for (const write of writes) if (write.outcome === 'ok') widen(write.manifest.digest, write.startMs, write.endMs);
  for (const read of reads) {
    const write = read.digest === undefined ? undefined : values.get(read.digest);
    if (read.digest !== undefined && write === undefined) return `${read.digest} was read and never written`;
    if (write !== undefined && read.endMs < write.startMs) return `${read.digest} was read before it was written`;
    if (write !== undefined) widen(read.digest, write.startMs, Number.POSITIVE_INFINITY);
    widen(read.digest, read.startMs, read.endMs);
  }
  const all = [...zones].map(([digest, zone]) => ({ digest, ...zone }));
  const forward = all
    .filter((zone) => zone.minEnd < zone.maxStart)
    .map(({ digest, minEnd, maxStart }): Zone => ({ digest, fromMs: minEnd, toMs: maxStart }))
    .toSorted((a, b) => a.fromMs - b.fromMs);
  for (const [index, zone] of forward.entries()) {
    const next = forward[index + 1];
    if (next !== undefined && next.fromMs < zone.toMs) return `${zone.digest} came back after ${next.digest}`;
  }
  const swallowed = all.find(
    (zone) => zone.minEnd >= zone.maxStart && forward.some((f) => f.fromMs < zone.maxStart && zone.minEnd < f.toMs),
  );
  return swallowed === undefined ? undefined : `${swallowed.digest} was written and another stayed`;
}
