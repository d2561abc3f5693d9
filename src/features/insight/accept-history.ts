import { type Journal, tenantStreamOf } from '../../platform/journal/journal.ts';
import { setAnchorAside } from './anchor-notes.ts';
import type { AnchorParts } from './anchors.ts';
import { findStrayAnchors, type StrayAnchors } from './stray-anchors.ts';

export type AcceptParts = AnchorParts & { readonly journal: Journal; readonly tenantUid: string };

/** Numbers of the first and the last checkpoint that nobody misses any longer. */
export type AcceptedHistory = Pick<StrayAnchors, 'first' | 'last'>;

/**
 * Takes the history as the database has it: an older backup was restored, and what was signed after it is lost. First an event says so,
 * then the store puts what it was told of aside under another name, where it stays. Killed in between, it is asked again. Undefined where
 * nothing is missing.
 */
export async function acceptHistory(parts: AcceptParts, actor: string): Promise<AcceptedHistory | undefined> {
  const { journal, tenantUid, notes } = parts;
  const strays = await findStrayAnchors(parts);
  if (strays === undefined) return undefined;
  const { first, last, places } = strays;
  await journal.transaction(async (_tx, append) =>
    append({
      stream: tenantStreamOf(tenantUid),
      type: 'audit.accepted',
      version: 1,
      actor,
      data: { firstCheckpoint: first, lastCheckpoint: last },
    }),
  );
  for (const place of places) await setAnchorAside(notes, place);
  return { first, last };
}
