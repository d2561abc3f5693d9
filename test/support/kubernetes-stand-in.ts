import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * As much of a Kubernetes API server as `helm install --dry-run` asks for: its version, which kinds it has, and that
 * nothing of the given name exists. Kubernetes is no part of this product; only helm's way of reading charts is.
 * Source: Kubernetes API concepts, "API discovery".
 */
export async function startKubernetesStandIn(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const answers = new Map<string, unknown>([
    ['/version', { major: '1', minor: '33', gitVersion: 'v1.33.0' }],
    ['/api', { kind: 'APIVersions', versions: ['v1'] }],
    ['/apis', { kind: 'APIGroupList', apiVersion: 'v1', groups: [group('apps')] }],
    ['/api/v1', resources('v1', { services: 'Service', serviceaccounts: 'ServiceAccount', pods: 'Pod' })],
    ['/apis/apps/v1', resources('apps/v1', { deployments: 'Deployment' })],
  ]);
  const server = createServer((request, response) => {
    const answer = answers.get(new URL(request.url ?? '/', 'http://localhost').pathname);
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(answer ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'NotFound', code: 404 }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${portOf(server.address())}`,
    stop: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()),
  };
}

function group(name: string): unknown {
  const version = { groupVersion: `${name}/v1`, version: 'v1' };
  return { name, versions: [version], preferredVersion: version };
}

function resources(groupVersion: string, kinds: Readonly<Record<string, string>>): unknown {
  const list = Object.entries(kinds).map(([name, kind]) => ({
    name,
    singularName: '',
    namespaced: true,
    kind,
    verbs: ['create', 'get', 'list'],
  }));
  return { kind: 'APIResourceList', groupVersion, resources: list };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('the stand-in does not listen on TCP');
  return address.port;
}
