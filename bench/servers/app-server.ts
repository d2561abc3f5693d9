import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answerWith } from '../../src/api/middleware/answer.ts';
import { startHttpServers } from '../../src/api/middleware/http-servers.ts';
import type { AccessRequest } from '../../src/features/access/access.ts';
import { showAdminCredentials } from '../../src/features/identity/admin-account.ts';
import { systemClock as clock } from '../../src/platform/system-clock.ts';
import { fullAuthority } from '../../test/support/content-process.ts';
import { mountedApp } from '../../test/support/mounted-app.ts';

// The program's own application behind its own servers, without work in the background: `app-server.ts DATA PORT [open]`.
// Open, an authority that allows everything stands in for the check of credentials and rights.

const [data = '', port = '', mode] = process.argv.slice(2);
const authorize = async ({ circumstances }: AccessRequest) => fullAuthority('anybody', { circumstances });
const mounted = await mountedApp({ data }, mode === 'open' ? { authorize } : {});
const registry = mounted.features.directory.defaultRegistry();
if (registry === undefined) throw new Error('the default registry is missing');
const { userName: username, passwords } = await showAdminCredentials(
  mounted.data,
  mounted.data.database.read,
  registry.uid,
);
writeFileSync(join(data, 'admin.json'), JSON.stringify({ username, password: passwords[0]?.value }));
const servers = await startHttpServers({
  listeners: [{ host: '127.0.0.1', port: Number(port) }],
  answer: answerWith(mounted.app),
  clock,
});
process.once('SIGTERM', async () => {
  await servers.stop(0);
  await mounted.close();
});
