import { Hono } from 'hono';
import { parseDigest } from '../../core/digest.ts';
import { BerthError } from '../../core/errors.ts';
import { parseRepositoryName } from '../../core/repository-name.ts';
import { type DeletedExpiryParts, dropDeleted } from '../../features/retention/deleted-expiry.ts';
import { explainBlob } from '../../features/retention/explain-blob.ts';
import { type CollectionParts, collectGarbage } from '../../features/retention/garbage-collection.ts';
import type { RemovalGuard } from '../../features/retention/removal-guard.ts';
import { restartScrub, type ScrubProgress, scrubProgress } from '../../features/retention/scrub.ts';
import {
  type BlobExplanationView,
  type CollectedView,
  type DroppedView,
  dropDeletedSchema,
  type ScrubView,
} from '../../wire/admin/retention-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type RetentionRouteParts = AdminCallParts &
  CollectionParts & {
    readonly removalGuard: RemovalGuard;
    readonly deletedExpiry: Omit<DeletedExpiryParts, 'authority'>;
  };

/** What keeps content, frees it, and checks it. */
export function retentionRoutes(parts: RetentionRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  routes.post(
    '/admin/gc',
    asOwner(parts, async (c) => {
      const hindrance = await parts.removalGuard.hindrance();
      if (hindrance !== undefined) throw new BerthError('removalWaits', hindrance);
      const job = { signal: c.req.raw.signal, renew: async () => {} };
      const view: CollectedView = await collectGarbage(parts, job);
      return c.json(view);
    }),
  );
  routes.post(
    '/admin/registries/:name/drop-deleted',
    asOwner(parts, async (c, _by, authority) => {
      const { repository } = await bodyOf(parts, c, dropDeletedSchema);
      const place = { registryUid: registryNamed(parts, c).uid, repository: parseRepositoryName(repository) };
      const view: DroppedView = { manifests: await dropDeleted(parts.deletedExpiry, place, authority) };
      return c.json(view);
    }),
  );
  routes.get(
    '/admin/registries/:name/gc/:digest',
    asOwner(parts, async (c) => {
      const digest = parseDigest(c.req.param('digest') ?? '');
      const found = await explainBlob(parts.database.read, registryNamed(parts, c).uid, digest);
      if (found === undefined) throw new BerthError('blobUnknown', { digest });
      const { createdAtMicros, graceUntilMicros, repositories, references, ...same } = found;
      const view: BlobExplanationView = {
        ...same,
        createdAt: isoOf(createdAtMicros),
        graceUntil: isoOf(graceUntilMicros),
        repositories: [...repositories],
        references: references.map((each) => ({ ...each, tags: [...each.tags] })),
      };
      return c.json(view);
    }),
  );
  routes.get(
    '/admin/scrub',
    asOwner(parts, async (c) => c.json(scrubView(await scrubProgress(parts.database.read)))),
  );
  routes.post(
    '/admin/scrub',
    asOwner(parts, async (c) => c.json(scrubView(await restartScrub(parts)))),
  );
  return routes;
}

function scrubView(progress: ScrubProgress | undefined): ScrubView {
  return {
    beganAt: progress === undefined ? null : isoOf(progress.beganAtMicros),
    endedAt: progress?.endedAtMicros === undefined ? null : isoOf(progress.endedAtMicros),
    blobs: progress?.blobs ?? 0,
    bytes: progress?.bytes ?? 0,
    damaged: progress?.damaged ?? 0,
  };
}

function isoOf(micros: number): string {
  return new Date(micros / 1000).toISOString();
}
