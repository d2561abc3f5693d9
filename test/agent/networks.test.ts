import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import type { Cell } from '../../src/agent/executors/cell.ts';
import { createContainerNetworks, type JoinedNetwork } from '../../src/agent/executors/container-network.ts';
import { openUserCell } from '../../src/agent/executors/user-cell.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// Networks of one run, as containers have them. As root: with the kernel's own.

const folder = temporaryFolder('networks');
const limits = { cpus: 1, memoryMiB: 256, diskMiB: 64, processes: 64 };
let cell: Cell;
beforeEach(async () => {
  const name = `networks-${process.pid}`;
  cell = await openUserCell({ name, root: join(folder.path, 'runs'), limits, firstUserId: 1_900_000_000, hosts: [] });
});
afterEach(async () => cell.close());
after(() => folder.remove());

const serve =
  'use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 8080, Listen => 9) or die; close $_ while $_ = $s->accept';
const within = ({ namespace }: JoinedNetwork, words: readonly string[], signal = AbortSignal.timeout(120_000)) =>
  cell.run(['nsenter', `--net=${namespace}`, '--', ...words], { signal });
const reaches = async (from: JoinedNetwork, address: string, port: number, seconds = 20) =>
  (await within(from, ['timeout', `${seconds}`, 'bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`])) === 0;

test('containers reach those of their network, the doors of the room, and none of another network', async () => {
  assert.equal(await cell.read(['cat', '/proc/sys/net/ipv4/ip_forward']), '0\n');
  const { join: joined } = createContainerNetworks(cell);
  const [web, client, other, third] = await Promise.all([
    joined('web', 'front'),
    joined('client', 'front'),
    joined('other', 'back'),
    joined('third', undefined),
  ]);
  const stopper = new AbortController();
  const serving = within(web, ['perl', '-e', serve], stopper.signal).catch(() => undefined);
  const door = await cell.listen(3_130, (connection) => connection.destroy());
  await waitFor('a container of the same network reaches it', 120_000, () => reaches(client, web.address, 8_080));
  for (const outsider of [other, third]) {
    // What it sends is dropped.
    assert.equal(await reaches(outsider, web.address, 8_080, 2), false);
    assert.equal(await reaches(outsider, cell.address, 3_130), true);
  }
  assert.equal(await reaches(web, cell.address, 3_130), true);
  const namesOf = async ({ hostsFile }: JoinedNetwork) =>
    (await cell.read(['cat', hostsFile])).split('\n').flatMap((line) => /^10\.\S+ (\w+)$/.exec(line)?.[1] ?? []);
  assert.deepEqual((await namesOf(client)).toSorted(), ['client', 'web']);
  assert.deepEqual(await namesOf(other), ['other']);
  assert.deepEqual(await namesOf(third), ['third']);
  door.close();
  stopper.abort(new Error('enough'));
  await serving;
});

test('a running container comes to another network under more names, and goes from one', async () => {
  const networks = createContainerNetworks(cell);
  const db = await networks.join('db', 'own', ['store']);
  const near = await networks.join('near', 'own');
  const far = await networks.join('far', 'other');
  const stopper = new AbortController();
  const serving = within(db, ['perl', '-e', serve], stopper.signal).catch(() => undefined);
  const door = await cell.listen(3_131, (connection) => connection.destroy());
  await waitFor('one of its network reaches it', 120_000, () => reaches(near, db.address, 8_080));
  const addressIn = async ({ hostsFile }: JoinedNetwork, name: string) =>
    new RegExp(`^(\\S+) .*\\b${name}\\b`, 'm').exec(await cell.read(['cat', hostsFile]))?.[1];
  assert.equal(await addressIn(near, 'store'), db.address);
  assert.equal(await addressIn(far, 'db'), undefined);
  const open = await cell.read(['stat', '-c', '%i', near.hostsFile]);

  await db.connect('other', ['shelf']);
  const other = (await addressIn(far, 'shelf')) ?? assert.fail('it has no name there');
  assert.equal(await reaches(far, other, 8_080), true);
  assert.equal(await addressIn(db, 'far'), far.address);
  assert.equal(await addressIn(db, 'near'), near.address);
  await db.disconnect('own');
  assert.equal(await addressIn(near, 'db'), undefined);
  assert.equal(await reaches(near, db.address, 8_080, 2), false);
  assert.equal(await reaches(far, other, 8_080), true);
  // The doors of the room are reached by the way that is left.
  assert.equal(await reaches(db, cell.address, 3_131), true);
  assert.equal(await cell.read(['stat', '-c', '%i', near.hostsFile]), open);
  await assert.rejects(networks.remove('other'), /containers are on the network other: far, db/);

  stopper.abort(new Error('enough'));
  await serving;
  for (const container of [db, near, far]) await container.leave();
  await networks.remove('other');
  await networks.remove('own');
  assert.equal(await networks.isUsed('other'), false);
  const again = await networks.join('again', 'other');
  assert.match(await cell.read(['cat', again.hostsFile]), new RegExp(`^${again.address} again$`, 'm'));
  await assert.rejects(db.connect('other', []), /the container db has ended/);
  door.close();
});

test('a container that has ended is on no network any more, and its name is free', async () => {
  const { join: joined } = createContainerNetworks(cell);
  const client = await joined('client', undefined);
  const links = async () =>
    (await cell.read(['ip', '-o', 'link', 'show', 'master', 'bridge0'])).trim().split('\n').length;
  const before = await links();
  const first = await joined('db', undefined);
  assert.deepEqual(first.direct, ['10.88.0.0/16', 'client']);
  assert.equal(await links(), before + 1);
  await first.leave();
  assert.equal(await links(), before);
  assert.equal(await cell.run(['test', '-e', first.namespace]), 1);
  const second = await joined('db', undefined);
  const hosts = await cell.read(['cat', client.hostsFile]);
  assert.deepEqual(hosts.match(/^.* db$/gm), [`${second.address} db`]);
  assert.match(hosts, /^127\.0\.0\.1 localhost$/m);
  assert.match(hosts, /^10\.\S+ client$/m);
  const apart = await joined('apart', 'other');
  assert.deepEqual(apart.direct, ['10.89.0.0/20']);
});
