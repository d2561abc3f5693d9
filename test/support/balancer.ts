import { writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Daemon } from './daemon.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

/** HAProxy before servers on loopback that it asks for /readyz; disposing stops it. */
export type Balancer = AsyncDisposable & { readonly port: number; readonly origin: string };

export async function startBalancer(port: number, servers: readonly number[]): Promise<Balancer> {
  const folder = temporaryFolder('balancer');
  const config = join(folder.path, 'haproxy.cfg');
  writeFileSync(config, configOf(port, servers));
  const daemon = new Daemon({ command: 'haproxy', args: ['-db', '-f', config], logFile: join(folder.path, 'log') });
  const origin = `http://localhost:${port}`;
  await waitFor('the balancer answers', 120_000, async () => {
    if (!daemon.running) throw new Error(daemon.log());
    return (await fetch(`${origin}/healthz`)).ok;
  });
  return {
    port,
    origin,
    [Symbol.asyncDispose]: async () => {
      await daemon.kill();
      folder.remove();
    },
  };
}

/** As in docs/guides/many-machines.md; a server that is slow to answer because the machine is busy is not taken for a dead one. */
function configOf(port: number, servers: readonly number[]): string {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each?.map(({ address }) => address) ?? []);
  return `
global
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 10s
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response
frontend registry
  bind 127.0.0.1:${port}
${addresses.includes('::1') ? `  bind [::1]:${port}` : ''}
  option forwardfor
  default_backend berth
backend berth
  balance roundrobin
  http-request disable-l7-retry unless METH_GET
  option httpchk
  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host localhost
  default-server check inter 500ms fall 1 rise 1
${servers.map((own, index) => `  server berth${index + 1} 127.0.0.1:${own}`).join('\n')}
`;
}
