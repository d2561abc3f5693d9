import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ContentBench, contentBench, fullAuthority, testRegion } from '../../../test/support/content-process.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { sampleBlob, sampleImage } from '../../../test/support/oci-samples.ts';
import { SeededRandom } from '../../../test/support/random.ts';
import { digestOf } from '../../core/digest.ts';
import { parseTag } from '../../core/reference.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { FoundContent } from './found-content.ts';
import { Inventory } from './inventory.ts';
import { packLines, unpackLines } from './inventory-line.ts';
import { readInventory } from './read-inventory.ts';

const job = { signal: new AbortController().signal, renew: async () => {} };

forEachDatabase((_name, open) => {
  const openBench = async (spareWeight?: number) => {
    const bench = await contentBench(open);
    const notes = folderNotes(join(bench.folder.path, 'store'), systemClock);
    const inventoryOn = (kept: StoreNotes) =>
      new Inventory({
        ...bench.here,
        notes: kept,
        region: testRegion,
        ...(spareWeight !== undefined && { spareWeight }),
      });
    return { bench, notes, inventoryOn };
  };

  test('what the store says is what the database holds, after any pushes, moves and deletions', async () => {
    const { bench, notes, inventoryOn } = await openBench(150_000);
    const random = new SeededRandom(11);
    const inventory = inventoryOn(notes);
    for (let round = 0; round < 25; round += 1) {
      await inventory.bringUpToDate(job);
      for (let step = 0; step < 4; step += 1) await changeSomething(bench, random);
    }
    await inventory.bringUpToDate(job);
    assert.deepEqual(await said(notes, bench.registryUid), await held(bench));
    const names = (await Array.fromAsync(notes.list(''))).map(({ name }) => name);
    assert.ok(names.length < 12, `old notes leave: ${names.join()}`);
  });

  test('a store that takes no more notes stops anywhere; the next run brings all of it', async () => {
    const { bench, notes, inventoryOn } = await openBench(150_000);
    const random = new SeededRandom(12);
    for (let left = 0; left < 8; left += 1) {
      for (let step = 0; step < 4; step += 1) await changeSomething(bench, random);
      await inventoryOn(failingAfter(notes, left))
        .bringUpToDate(job)
        .catch(() => {});
    }
    await inventoryOn(notes).bringUpToDate(job);
    assert.deepEqual(await said(notes, bench.registryUid), await held(bench));
  });

  test('after a restore the stream begins anew, and so does the inventory', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const random = new SeededRandom(13);
    for (let step = 0; step < 10; step += 1) await changeSomething(bench, random);
    await inventoryOn(notes).bringUpToDate(job);
    await bench.database.transaction((tx) =>
      tx.updateTable('journal_heads').set({ incarnation: 'another', seq: 0 }).execute(),
    );
    await changeSomething(bench, random);
    await inventoryOn(notes).bringUpToDate(job);
    assert.deepEqual(await said(notes, bench.registryUid), await held(bench));
    for await (const { name } of notes.list(`inventory.${bench.registryUid}`)) assert.match(name, /\.another\./);
  });

  test('the notes of a registry that is gone leave; while nothing changes the store is not asked', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const [of, other] = [bench.registryUid, bench.otherUid].map((uid) => `inventory.${uid}`);
    let asked = 0;
    const counting: StoreNotes = {
      ...notes,
      list: (prefix) => {
        asked += 1;
        return notes.list(prefix);
      },
    };
    const inventory = inventoryOn(counting);
    await inventory.bringUpToDate(job);
    await inventory.bringUpToDate(job);
    assert.equal(asked, 1);
    assert.equal((await Array.fromAsync(notes.list(`${other}`))).length, 1);
    await bench.database.transaction((tx) => tx.deleteFrom('registries').where('uid', '=', bench.otherUid).execute());
    await inventory.bringUpToDate(job);
    assert.equal((await Array.fromAsync(notes.list(`${other}`))).length, 0);
    assert.equal((await Array.fromAsync(notes.list(`${of}`))).length, 1);
  });

  test('the notes of a registry that another process told of leave when it is gone', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const [one, other] = [inventoryOn(notes), inventoryOn(notes)];
    await one.bringUpToDate(job);
    await bench.database.transaction(async (tx) => {
      const row = await tx
        .selectFrom('registries')
        .where('uid', '=', bench.otherUid)
        .selectAll()
        .executeTakeFirstOrThrow();
      const name = { uid: 'short', name: 'short', name_key: 'short' };
      await tx
        .insertInto('registries')
        .values({ ...row, ...name })
        .execute();
      const head = { stream: streamOf('short', testRegion), incarnation: 'i', seq: 1, hash: '', changed_at: 1 };
      await tx.insertInto('journal_heads').values(head).execute();
    });
    await other.bringUpToDate(job);
    const kept = async () => (await Array.fromAsync(notes.list('inventory.short'))).length;
    assert.equal(await kept(), 1);
    await bench.database.transaction((tx) => tx.deleteFrom('registries').where('uid', '=', 'short').execute());
    await one.bringUpToDate(job);
    assert.equal(await kept(), 0);
  });

  test('another SKU is in the store with the next run, whichever process does it', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const { database, registryUid } = bench;
    await changeSomething(bench, new SeededRandom(17));
    const sell = async (sku: 'Basic' | 'Premium') =>
      await database.transaction((tx) =>
        tx.updateTable('registries').set({ sku }).where('uid', '=', registryUid).execute(),
      );
    const kept = async () => {
      using found = new FoundContent();
      await readInventory(notes, found);
      return found.registries().find(({ uid }) => uid === registryUid)?.sku;
    };
    await inventoryOn(notes).bringUpToDate(job);
    for (const sku of ['Basic', 'Premium', 'Basic'] as const) {
      await sell(sku);
      await inventoryOn(notes).bringUpToDate(job);
      assert.equal(await kept(), sku);
      assert.equal((await Array.fromAsync(notes.list(`inventory.${registryUid}`))).length, 1);
    }
  });

  test('a store that was told before SKUs were in names of notes is told of another', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const { database, registryUid } = bench;
    let isOlder = true;
    const inventory = inventoryOn({
      ...notes,
      put: (name, bytes) => notes.put(isOlder ? name.replace(/\.(?:basic|standard|premium)/, '') : name, bytes),
    });
    await inventory.bringUpToDate(job);
    isOlder = false;
    await database.transaction((tx) =>
      tx.updateTable('registries').set({ sku: 'Standard' }).where('uid', '=', registryUid).execute(),
    );
    await inventory.bringUpToDate(job);
    using found = new FoundContent();
    await readInventory(notes, found);
    assert.equal(found.registries().find(({ uid }) => uid === registryUid)?.sku, 'Standard');
  });

  test('of the store only what belongs to registries that changed is listed', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const asked: string[] = [];
    const inventory = inventoryOn({
      ...notes,
      list: (prefix) => {
        asked.push(prefix);
        return notes.list(prefix);
      },
    });
    await inventory.bringUpToDate(job);
    await changeSomething(bench, new SeededRandom(18));
    await inventory.bringUpToDate(job);
    assert.deepEqual(asked, ['inventory.', `inventory.${bench.registryUid}.`]);
    assert.deepEqual(await said(notes, bench.registryUid), await held(bench));
  });

  test('a server that stops does not wait for a long inventory', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const random = new SeededRandom(15);
    for (let step = 0; step < 6; step += 1) await changeSomething(bench, random);
    const stop = new AbortController();
    const stopping = { signal: stop.signal, renew: async () => stop.abort(new Error('stopping')) };
    await assert.rejects(
      inventoryOn(notes)
        .bringUpToDate(stopping)
        .then(() => stop.signal.throwIfAborted()),
      /stopping/,
    );
    await inventoryOn(notes).bringUpToDate(job);
    assert.deepEqual(await said(notes, bench.registryUid), await held(bench));
  });

  test('a damaged note costs what it said, and is told', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    await changeSomething(bench, new SeededRandom(14));
    await inventoryOn(notes).bringUpToDate(job);
    const [note] = await Array.fromAsync(notes.list(`inventory.${bench.registryUid}`));
    assert.ok(note !== undefined);
    await notes.put(note.name, Buffer.from('other bytes'));
    using found = new FoundContent();
    assert.deepEqual((await readInventory(notes, found)).unreadable, [note.name]);
  });

  test('a manifest that cannot be understood costs itself alone, and is told', async () => {
    const { bench, notes, inventoryOn } = await openBench();
    const random = new SeededRandom(16);
    for (let step = 0; step < 6; step += 1) await changeSomething(bench, random);
    await inventoryOn(notes).bringUpToDate(job);
    const before = await said(notes, bench.registryUid);
    const [note] = await Array.fromAsync(notes.list(`inventory.${bench.registryUid}`));
    assert.ok(note !== undefined);
    const lines = await unpackLines((await notes.get(note.name)) ?? assert.fail());
    const body = Buffer.from('{}');
    const strange = {
      kind: 'manifest',
      repository: 'app0',
      digest: digestOf('sha256', hash('sha256', body, 'hex')),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      locks: 0,
      createdAt: 1,
      changedAt: 1,
      body: body.toString('base64'),
    };
    await notes.put(note.name, await packLines([...lines, strange].map((line) => JSON.stringify(line))));
    using found = new FoundContent();
    assert.deepEqual((await readInventory(notes, found)).unreadable, [note.name]);
    assert.deepEqual(listed(found, bench.registryUid), before);
  });
});

/** Pushes, tags, untags or deletes something in one of two repositories. */
async function changeSomething(bench: ContentBench, random: SeededRandom): Promise<void> {
  const place = bench.place(`app${random.below(2)}`);
  const tag = parseTag(`t${random.below(4)}`);
  const reference = { kind: 'tag', tag } as const;
  if (random.below(10) < 3) {
    const found = await bench.here.manifests.find(place, reference, fullAuthority()).catch(() => undefined);
    if (found === undefined) return;
    const whole = { kind: 'digest', digest: found.digest } as const;
    await bench.here.manifests.remove(place, fullAuthority(), random.below(2) === 0 ? reference : whole);
    return;
  }
  const blob = sampleBlob(`content ${random.below(6)}`);
  await bench.push(place, blob);
  const image = sampleImage([blob]);
  const push = { body: image.bytes, contentType: image.mediaType, tags: [] };
  await bench.here.manifests.push(place, fullAuthority(), { ...push, reference });
}

/** Manifests and tags by repository, as the store has them. */
async function said(notes: StoreNotes, registryUid: string): Promise<string[]> {
  using found = new FoundContent();
  const doubts = await readInventory(notes, found);
  assert.deepEqual(doubts, { unreadable: [], unfinished: [] });
  return listed(found, registryUid);
}

function listed(found: FoundContent, registryUid: string): string[] {
  return found
    .repositories(registryUid)
    .flatMap(({ repository }) => [
      ...found.manifests(registryUid, repository, '', 1000).map(({ digest }) => `${repository}@${digest}`),
      ...found.tags(registryUid, repository, '', 1000).map(({ tag, digest }) => `${repository}:${tag}@${digest}`),
    ])
    .sort();
}

async function held({ database, registryUid }: ContentBench): Promise<string[]> {
  const repositories = await database.read
    .selectFrom('repositories')
    .selectAll()
    .where('registry_uid', '=', registryUid)
    .execute();
  const lines: string[] = [];
  for (const { uid, name } of repositories) {
    const manifests = await database.read
      .selectFrom('manifests')
      .select('digest')
      .where('repository_uid', '=', uid)
      .execute();
    const tags = await database.read
      .selectFrom('tags')
      .select(['name', 'digest'])
      .where('repository_uid', '=', uid)
      .execute();
    lines.push(...manifests.map(({ digest }) => `${name}@${digest}`));
    lines.push(...tags.map((tag) => `${name}:${tag.name}@${tag.digest}`));
  }
  return lines.sort();
}

function failingAfter(notes: StoreNotes, count: number): StoreNotes {
  let left = count;
  return {
    ...notes,
    put: async (name, bytes) => {
      if (left === 0) throw new Error('the store is full');
      left -= 1;
      await notes.put(name, bytes);
    },
  };
}
