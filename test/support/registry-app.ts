import { join } from 'node:path';
import { Hono } from 'hono';
import { answerWith } from '../../src/api/middleware/answer.ts';
import type { Env } from '../../src/api/middleware/env.ts';
import { exchange } from '../../src/api/middleware/exchange.ts';
import { startHttpServers } from '../../src/api/middleware/http-servers.ts';
import { createMetrics } from '../../src/api/middleware/metrics.ts';
import { renderFailure, renderNotFound } from '../../src/api/middleware/render-failure.ts';
import type { TransferLimits } from '../../src/api/middleware/streams.ts';
import { ociRoutes } from '../../src/api/oci/oci-routes.ts';
import { tokenRoutes } from '../../src/api/token/token-routes.ts';
import type { AccessScope } from '../../src/core/scope.ts';
import { createAccessLog } from '../../src/platform/access-log/create-access-log.ts';
import type { Database } from '../../src/platform/database/database.ts';
import { HeldClock } from '../../src/platform/held-clock.ts';
import { systemClock as clock } from '../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../src/platform/system-ids.ts';
import { type ContentOptions, contentProcess, quietLog as log } from './content-process.ts';
import { freePort } from './free-port.ts';
import { basic, sampleAccess, sampleCircumstances, sampleProcess } from './sample-access.ts';
import { temporaryFolder } from './temporary-folder.ts';

export type RegistryAppOptions = Omit<ContentOptions, 'database' | 'folder'> & { readonly transfer?: TransferLimits };

export type RegistryApp = Awaited<ReturnType<typeof registryApp>>;

export type Ask = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RequestInit['body'];
};

const host = 'localhost:5000';
export const otherHost = 'fabrikam.berth.test:5443';

/**
 * The data plane put together of real parts on an empty database: the registries `contoso` (on localhost) and `fabrikam`.
 * `ask` sends a Request without a socket, signed in as contoso's admin account unless the headers say otherwise; an empty
 * Authorization header is left out.
 */
export async function registryApp(database: Database, options: RegistryAppOptions = {}) {
  const folder = temporaryFolder('registry');
  const sample = await sampleAccess(database);
  const access = await sampleProcess(database, sample.tenantUid, new HeldClock());
  const accessLog = createAccessLog({ database, clock, ids, log });
  const content = contentProcess({ ...options, database, folder: join(folder.path, 'data') });
  const transfer = options.transfer ?? { minBytesPerSecond: 1024, windowMs: 30_000 };
  const parts = {
    ...content,
    ...access,
    clock,
    ids,
    log,
    accessLog,
    transfer,
    metrics: createMetrics({ droppedLogLines: () => 0 }),
  };
  const app = new Hono<Env>();
  app.onError(renderFailure(log));
  app.notFound(renderNotFound);
  app.use(exchange({ ...parts, domain: 'berth.test', trustedProxies: undefined, isStopping: () => false }));
  app.route('/', ociRoutes(parts));
  app.route('/', tokenRoutes(parts));

  const [password = ''] = await sample.adminPasswords(sample.registryUid);
  const [otherPassword = ''] = await sample.adminPasswords(sample.otherUid);
  const admin = basic('Contoso', password);
  const tokenFor = async (...asked: readonly AccessScope[]): Promise<string> => {
    const registry = access.directory.defaultRegistry();
    if (registry === undefined) throw new Error('the sample has a default registry');
    const { accessToken } = await access.issueTokens({
      registry,
      credentials: { kind: 'header', authorization: admin },
      asked,
      wantsRefreshToken: false,
      circumstances: sampleCircumstances,
    });
    return `Bearer ${accessToken}`;
  };
  return {
    ...sample,
    app,
    content,
    access,
    /** Holds nothing but the store, in `data`. */
    folder,
    admin,
    otherAdmin: basic('fabrikam', otherPassword),
    tokenFor,
    ask: async (path: string, { method = 'GET', headers = {}, body = null }: Ask = {}): Promise<Response> => {
      const signed = new Headers({ host, authorization: admin, ...headers });
      if (signed.get('authorization') === '') signed.delete('authorization');
      const init: RequestInit & { readonly duplex: 'half' } = { method, headers: signed, body, duplex: 'half' };
      return await app.fetch(new Request(`http://${host}${path}`, init));
    },
    /** The same app behind a real socket. */
    listen: async () => {
      const port = await freePort();
      const servers = await startHttpServers({
        listeners: [{ host: '127.0.0.1', port }],
        answer: answerWith(app),
        clock,
      });
      return { port, close: () => servers.stop(0) };
    },
    /** Writes what the access log holds back. */
    flush: () => accessLog.flush(),
    close: async () => {
      await access.close();
      await accessLog.close();
      folder.remove();
    },
  };
}
