import { acrRoutes } from '../../src/api/acr/acr-routes.ts';
import { AttributeChanges } from '../../src/features/content/attribute-changes.ts';
import { Deletions } from '../../src/features/content/deletions.ts';
import { Metadata } from '../../src/features/content/metadata.ts';
import { UsageReports } from '../../src/features/content/usage-reports.ts';
import { DeletedListings } from '../../src/features/retention/deleted-listings.ts';
import { Restores } from '../../src/features/retention/restores.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { testRegion } from './content-process.ts';
import { registryApp } from './registry-app.ts';

/** `registryApp` with the metadata API, and the limit of a Premium registry's storage. */
export async function acrApp(database: Database, limitBytes = 1_000_000) {
  const registry = await registryApp(database);
  const { app, content, access } = registry;
  const inRegion = { ...content, region: testRegion };
  const storageLimits = { Basic: limitBytes, Standard: limitBytes, Premium: limitBytes };
  app.route(
    '/',
    acrRoutes({
      authorize: access.authorize,
      listings: content.listings,
      metadata: new Metadata(content),
      attributeChanges: new AttributeChanges(inRegion),
      deletions: new Deletions(inRegion),
      usageReports: new UsageReports({ database, storageLimits }),
      deletedListings: new DeletedListings(database),
      restores: new Restores(inRegion),
      transfer: { minBytesPerSecond: 1024, windowMs: 30_000 },
    }),
  );
  return registry;
}
