import { createServer, request } from 'node:http';
import type { BerthServer } from '../support/berth-server.ts';
import { freePort } from '../support/free-port.ts';

/**
 * An address that passes every request on to the server with the administrator's credential added, as a proxy in front of a
 * registry does for callers that it knows.
 */
export async function openSignedInAddress(server: BerthServer): Promise<{ readonly host: string; close(): void }> {
  const { username, password } = server.admin;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const forwarder = createServer((incoming, outgoing) => {
    const onward = request({
      port: server.ports.http,
      method: incoming.method,
      path: incoming.url,
      headers: { ...incoming.headers, authorization },
    });
    onward.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', (error) => outgoing.destroy(error));
    incoming.pipe(onward);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => forwarder.listen(port, 'localhost', resolve));
  const close = () => {
    forwarder.close();
    forwarder.closeAllConnections();
  };
  return { host: `localhost:${port}`, close };
}
