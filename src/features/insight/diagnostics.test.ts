import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { createAccessLog } from '../../platform/access-log/create-access-log.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { type AuditRow, auditRowSchema } from '../../wire/events/audit-schema.ts';
import type { LogCategory } from './diagnostic-setting.ts';
import { findDiagnostic, logsBehind, skipLogsToHead, writeDiagnostic } from './diagnostic-store.ts';
import { Diagnostics } from './diagnostics.ts';
import { createLoadSampler } from './load-sample.ts';
import { LineRefused, type LogBatch, type LogSending, type LogWriter, logWriters } from './log-writers.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const job = { signal: new AbortController().signal, renew: async () => {} };
const contents: readonly LogCategory[] = ['ContainerRegistryRepositoryEvents'];

forEachDatabase((_, open) => {
  async function installation() {
    const database = await open();
    const held = new HeldClock();
    const clock = { ...systemClock, nowMicros: held.nowMicros };
    const folder = temporaryFolder('diagnostics');
    const notes = folderNotes(folder.path, clock);
    const journal = createJournal({ database, clock, ids });
    const accessLog = createAccessLog({ database, clock, ids, log });
    const store = await logWriters(
      {
        outbound: { call: () => Promise.reject(new Error('no way out')) },
        tokens: new Map(),
        notesAt: async () => notes,
      },
      [{ name: 'lake', kind: 'store', address: { kind: 'folder', folder: folder.path } }],
    );
    const jobs: string[] = [];
    const diagnostics = (writers: ReadonlyMap<string, LogWriter> = store) =>
      new Diagnostics({
        ...{ database, journal, clock, log, writers, tenantId: '' },
        directory: { byUid: () => undefined },
        jobs: { add: async (_tx, { key }) => void jobs.push(key) },
      });
    return {
      database,
      clock,
      held,
      jobs,
      lake: store.get('lake'),
      diagnostics,
      set: async (uid: string, categories: readonly LogCategory[] = contents) =>
        await database.transaction(async (tx) => {
          const nowMicros = clock.nowMicros();
          await writeDiagnostic(tx, { uid, registryUid: 'contoso', categories, destination: 'lake', nowMicros });
          await skipLogsToHead(tx, uid, 'contoso');
        }),
      turnTo: async (uid: string, destination: string) => {
        held.advance(1_000);
        const change = { uid, registryUid: 'contoso', categories: contents, destination, nowMicros: clock.nowMicros() };
        await database.transaction((tx) => writeDiagnostic(tx, change));
      },
      flush: () => accessLog.flush(),
      access: (kind: 'pull' | 'signIn', tag = '', registryUid = 'contoso') => {
        const common = { address: '192.0.2.9', correlationId: 'c', status: 200, identity: 'victor' } as const;
        const content = kind === 'pull' ? { repository: 'app', tag } : {};
        accessLog.record({ ...common, ...content, kind, registryUid });
      },
      change: (tag: string, region = 'home') =>
        journal.transaction(async (_tx, append) =>
          append({
            stream: `registry/contoso/${region}`,
            type: 'tag.set',
            version: 1,
            actor: 'olivia',
            data: { repository: 'app', tag },
          }),
        ),
      names: () => readdirSync(join(folder.path, 'notes')).sort(),
      rows: () =>
        readdirSync(join(folder.path, 'notes'))
          .flatMap((name) =>
            readFileSync(join(folder.path, 'notes', name), 'utf8')
              .trim()
              .split('\n'),
          )
          .map((line) => auditRowSchema.parse(JSON.parse(line)))
          .map(({ OperationName, Tag }) => `${OperationName} ${Tag}`.trim())
          .sort(),
      close: async () => {
        await accessLog.close();
        folder.remove();
      },
    };
  }

  test('two settings with one store keep the lines of both', async () => {
    const here = await installation();
    await here.set('contents');
    await here.set('logins', ['ContainerRegistryLoginEvents']);
    here.access('pull', 'one');
    here.access('signIn');
    await here.flush();
    for (const uid of ['contents', 'logins']) await here.diagnostics().send(uid, job);
    assert.deepEqual(here.rows(), ['Login', 'Pull one']);
    await here.close();
  });

  test('a sender that stood still replaces nothing of who took over', async () => {
    const here = await installation();
    await here.set('contents');
    await here.change('one');
    const [isHeld, isFree] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const slow = async (batch: LogBatch, sending: LogSending) => {
      isHeld.resolve();
      await isFree.promise;
      await here.lake?.(batch, sending);
    };
    const stalled = here.diagnostics(new Map([['lake', slow]])).send('contents', job);
    await Promise.race([isHeld.promise, stalled]);
    await here.change('two');
    await here.diagnostics().send('contents', job);
    isFree.resolve();
    await stalled;
    assert.deepEqual([...new Set(here.rows())], ['Tag one', 'Tag two']);
    await here.close();
  });

  test('the batches of one run are one file, without the lines of other registries', async () => {
    const here = await installation();
    await here.set('contents');
    for (const tag of ['one', 'two']) {
      here.access('pull', tag);
      here.access('pull', tag, 'other');
      await here.flush();
    }
    await here.diagnostics().send('contents', job);
    assert.equal(here.names().length, 1);
    assert.deepEqual(here.rows(), ['Pull one', 'Pull two']);
    await here.close();
  });

  test('only settings that are behind are planned', async () => {
    const here = await installation();
    const plan = async () => {
      here.jobs.length = 0;
      await here
        .diagnostics()
        .planKind()
        .run({ ...job, payload: {}, attempt: 1 });
      return here.jobs;
    };
    await here.change('before');
    await here.set('contents');
    assert.deepEqual(await plan(), []);
    await here.change('after');
    assert.deepEqual(await plan(), ['contents']);
    await here.diagnostics().send('contents', job);
    assert.deepEqual(await plan(), []);
    await here.close();
  });

  test('a line that is refused for a day is given up, that one alone, and said so in its place', async () => {
    const here = await installation();
    await here.set('contents');
    const taken: AuditRow[] = [];
    const picky: LogWriter = async ({ rows }) => {
      const at = rows.findIndex(({ Tag }) => Tag === 'poison');
      taken.push(...(at < 0 ? rows : rows.slice(0, at)));
      if (at >= 0) throw new LineRefused('the destination answered 400', at);
    };
    const send = async () => await here.diagnostics(new Map([['lake', picky]])).send('contents', job);
    await here.change('poison');
    await send();
    // What comes later is no part of it.
    await here.change('later');
    for (const hours of [1, 12, 10]) {
      here.held.advance(hours * 3_600_000);
      await send();
    }
    assert.equal(taken.length, 0);
    here.held.advance(2 * 3_600_000);
    await send();
    const [dropped, later] = taken;
    assert.deepEqual(
      [dropped?.OperationName, dropped?.Times, dropped?.Reason, dropped?.Category],
      ['dropped', 1, 'the destination answered 400', 'ContainerRegistryRepositoryEvents'],
    );
    assert.deepEqual([later?.Tag, taken.length], ['later', 2]);
    assert.equal((await createLoadSampler({ database: here.database, clock: systemClock, log })())?.droppedLines, 1);
    await here.close();
  });

  test('lines beside one that is refused are sent once, and lines that are refused soon after it hold up none', async () => {
    const here = await installation();
    await here.set('contents');
    const taken: string[] = [];
    const picky: LogWriter = async ({ rows }) => {
      const at = rows.findIndex(({ Tag }) => Tag.startsWith('poison'));
      taken.push(...(at < 0 ? rows : rows.slice(0, at)).map(({ OperationName, Tag }) => Tag || OperationName));
      if (at >= 0) throw new LineRefused('the destination answered 400', at);
    };
    const send = async () => await here.diagnostics(new Map([['lake', picky]])).send('contents', job);
    for (const tag of ['one', 'poison', 'two', 'poison2', 'three']) await here.change(tag);
    for (const hours of [0, 12, 11]) {
      here.held.advance(hours * 3_600_000);
      await send();
      assert.deepEqual(taken, ['one']);
    }
    here.held.advance(2 * 3_600_000);
    await send();
    assert.deepEqual(taken.splice(0), ['one', 'dropped', 'two', 'dropped', 'three']);
    here.held.advance(20 * 3_600_000);
    for (const tag of ['four', 'poison3', 'five']) await here.change(tag);
    await send();
    assert.deepEqual(taken, ['four', 'dropped', 'five']);
    assert.equal((await createLoadSampler({ database: here.database, clock: systemClock, log })())?.droppedLines, 3);
    await here.close();
  });

  test('the logs of a registry come in one order, whichever changed last', async () => {
    const here = await installation();
    await here.set('contents');
    for (const region of ['east', 'west', 'east']) await here.change('one', region);
    const row = await findDiagnostic(here.database.read, 'contents');
    assert(row);
    const behind = await logsBehind(here.database.read, row, []);
    assert.deepEqual(
      behind.map(({ stream }) => stream),
      ['registry/contoso/east', 'registry/contoso/west'],
    );
    await here.close();
  });

  test('a setting that gets another destination while a line is refused sends that one everything, at once', async () => {
    const here = await installation();
    await here.set('contents');
    for (const tag of ['one', 'poison', 'two']) await here.change(tag);
    const lake: LogWriter = async () => {
      await here.turnTo('contents', 'pond');
      throw new LineRefused('the destination answered 400', 1);
    };
    const sent: string[] = [];
    const pond: LogWriter = async ({ rows }) => void sent.push(...rows.map(({ Tag }) => Tag));
    const diagnostics = here.diagnostics(new Map(Object.entries({ lake, pond })));
    await diagnostics.send('contents', job);
    assert.equal((await findDiagnostic(here.database.read, 'contents'))?.retry_at, 0);
    await diagnostics.send('contents', job);
    assert.deepEqual(sent, ['one', 'poison', 'two']);
    await here.close();
  });

  test('a destination that refuses everything loses nothing', async () => {
    const here = await installation();
    await here.set('contents');
    const closed: LogWriter = () => Promise.reject(new LineRefused('the destination answered 400', 0));
    await here.change('one');
    for (let day = 0; day < 3; day += 1) {
      await here.diagnostics(new Map([['lake', closed]])).send('contents', job);
      here.held.advance(86_400_000);
    }
    await here.diagnostics().send('contents', job);
    assert.deepEqual(here.rows(), ['Tag one']);
    await here.close();
  });
});
