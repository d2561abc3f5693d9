import { createMetrics, type Metrics } from './api/middleware/metrics.ts';
import type { Features } from './compose-features.ts';
import { AuditArchive } from './features/insight/audit-archive.ts';
import { Diagnostics } from './features/insight/diagnostics.ts';
import { createLoadSampler } from './features/insight/load-sample.ts';
import { logWriters } from './features/insight/log-writers.ts';
import type { RegistryMetrics } from './features/insight/registry-metrics.ts';
import { retentionWithUnsent } from './features/insight/unsent-accesses.ts';
import { openBlobStore } from './open-blob-store.ts';
import type { Data } from './open-data.ts';
import type { StoreAddress } from './platform/blob-store/store-address.ts';
import type { StoreNotes } from './platform/blob-store/store-notes.ts';
import type { JobKind, Jobs } from './platform/jobs/jobs.ts';
import type { LineSink } from './platform/line-sink.ts';
import type { Settings } from './settings.ts';

/** Asked by machines that watch the server, again and again. */
const watched: readonly string[] = ['/healthz', '/readyz', '/metrics'];

/** The metrics, and how many requests of clients this process has answered so far. */
export function openMetrics(
  data: Data,
  registryMetrics: RegistryMetrics,
  sink: LineSink,
): { readonly metrics: Metrics; readonly answered: () => number } {
  const metrics = createMetrics({
    droppedLogLines: () => sink.dropped(),
    ofRegistries: {
      registries: () => registryMetrics.told(),
      load: createLoadSampler(data),
      databaseUse: () => data.database.use(),
    },
  });
  let answered = 0;
  const end: Metrics['end'] = (exchange) => {
    if (!watched.includes(exchange.route)) answered += 1;
    metrics.end(exchange);
  };
  return { metrics: { ...metrics, end }, answered: () => answered };
}

/** Sends the logs of registries; a repeated job plans, and the runner of webhooks sends. */
export async function composeDiagnostics(
  settings: Settings,
  data: Data,
  { directory }: Features,
  { jobs, opened }: { readonly jobs: Jobs; readonly opened: AsyncDisposableStack },
): Promise<Diagnostics> {
  const notesAt = (address: StoreAddress) => openNotes(settings, data, address, opened);
  const writers = await logWriters(
    { ...data, tokens: settings.logDestinationTokens, notesAt },
    settings.logDestinations,
  );
  return new Diagnostics({ ...data, ...data.installation, directory, jobs, writers });
}

/** Where old accesses are kept; undefined when nobody wants them. */
export async function openAuditArchive(
  settings: Settings,
  data: Data,
  opened: AsyncDisposableStack,
): Promise<StoreNotes | undefined> {
  return settings.auditArchive && (await openNotes(settings, data, settings.auditArchive, opened));
}

/** The job that takes old accesses out of the database, where they are not kept for ever. */
export function auditArchiveJobs(
  { auditRetention: retentionMs }: Settings,
  data: Data,
  archive: StoreNotes | undefined,
): JobKind[] {
  if (retentionMs === undefined) return [];
  const parts = { ...data, ...data.installation, archive };
  const run: JobKind['run'] = async (job) => {
    const retention = await retentionWithUnsent(data, retentionMs);
    // Read anew for each piece: the older what waits becomes, the longer it stays.
    const held = {
      ...parts,
      get retentionMs() {
        return retention();
      },
    };
    await new AuditArchive(held).run(job);
  };
  return [{ ...new AuditArchive({ ...parts, retentionMs }).jobKind(), run }];
}

/** What a store beside the one of the blobs keeps; it is opened as that one is, with the same credentials. */
async function openNotes(
  settings: Settings,
  data: Data,
  blobs: StoreAddress,
  opened: AsyncDisposableStack,
): Promise<StoreNotes> {
  const { notes, close } = await openBlobStore({ ...settings, blobs, blobsRedirect: false }, data);
  opened.defer(close);
  return notes;
}
