import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { startBerth } from '../../test/support/berth-server.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { certificateOf, clockOf, foldersOf, freeSpace } from './doctor-checks.ts';

test('a clock that is ten minutes ahead is wrong, one that is five seconds ahead is not', async () => {
  let aheadMs = 0;
  const server = createServer((_request, response) => {
    response.setHeader('Date', new Date(Date.now() + aheadMs).toUTCString());
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = isBound(address) ? address.port : assert.fail();
  try {
    const findings = [];
    for (aheadMs of [0, 5_000, 600_000]) findings.push(...(await clockOf(`http://127.0.0.1:${port}`)));
    assert.deepEqual(
      findings.map(({ isWell }) => isWell),
      [true, true, false],
    );
    assert.match(findings[2]?.what ?? '', /(59\d|600) s apart/);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test('a certificate of an authority that is not trusted here is wrong, and says how to mend it', async () => {
  await using server = await startBerth({ database: 'sqlite' });
  const found = await certificateOf('localhost', { host: 'localhost', port: server.ports.https });
  assert.equal(found.isWell, false);
  assert.match(found.what, /CERT|SIGNATURE|ISSUER/);
  assert.match(found.advice ?? '', /--tls-certificates/);
  const nobody = await certificateOf('localhost', { host: '127.0.0.1', port: 1 });
  assert.match(nobody.what, /ECONNREFUSED/);
});

test('room that is left is told; a folder that is not there yet is no fault', () => {
  assert.match(freeSpace('/').what, /free space at \/: [\d.]+ GiB of [\d.]+ GiB/);
  assert.equal(freeSpace('/proc').isWell, true);
  assert.deepEqual(foldersOf('/nowhere/at/all'), [
    { what: 'data folder /nowhere/at/all (made at the first start)', isWell: true },
  ]);
});

test('a folder of blobs elsewhere is looked at too', () => {
  const folder = temporaryFolder('doctor');
  try {
    const found = foldersOf('/nowhere/at/all', folder.path).map(({ what }) => what);
    assert.deepEqual(found.slice(0, 2), [
      'data folder /nowhere/at/all (made at the first start)',
      `blob folder ${folder.path}`,
    ]);
    assert.match(found[2] ?? '', /^free space at /);
  } finally {
    folder.remove();
  }
});

function isBound(address: ReturnType<ReturnType<typeof createServer>['address']>): address is AddressInfo {
  return typeof address === 'object' && address !== null;
}
