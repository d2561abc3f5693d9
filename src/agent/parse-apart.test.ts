import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import type { DockerBuild, RunPlatform } from '../wire/builds/run-work.ts';
import { TaskError } from '../wire/tasks/task-error.ts';
import { parseApart, parseWith, startParser } from './parse-apart.ts';
import { RunFailure } from './run-failure.ts';
import { Turns } from './turns.ts';

const folder = temporaryFolder('parse-apart');
after(() => folder.remove());
const signal = AbortSignal.timeout(300_000);
const limits = { seconds: 2, memoryMiB: 64 };
const dockerfile = (text: string) => ({
  text,
  arguments: new Map([['VERSION', '12']]),
  target: undefined,
  platform: { os: 'linux', architecture: 'amd64' },
});

describe('texts of strangers are parsed by a program of its own', () => {
  test('what was read comes back as it is: maps, bytes and what is not there', async () => {
    const images = await parseApart('dockerfile', dockerfile('ARG VERSION\nFROM debian:$VERSION\n'), {
      cell: {},
      signal,
    });
    assert.deepEqual(images, { runtime: 'debian:12', buildtime: [] });
    const volumes = 'volumes:\n  - name: v\n    secret: { key: aGVsbG8= }\n';
    const { task, aliases } = await parseApart(
      'task',
      {
        text: `version: v1.1.0\nalias:\n  values: { word: hello }\n${volumes}steps:\n  - cmd: $word {{.Values.a}}\n`,
        ...{ valuesText: 'a: 1\n', values: [], run: {}, secrets: {}, now: new Date(0), aliasSources: new Map() },
      },
      { cell: {}, signal },
    );
    assert.deepEqual(task.steps[0]?.work, { kind: 'cmd', text: 'hello 1' });
    assert.equal(task.steps[0]?.user, undefined);
    assert.equal(Buffer.from(task.volumes[0]?.files.get('key') ?? []).toString(), 'hello');
    assert.equal(aliases.get('word'), 'hello');
  });
  test('templates of a quick build', async () => {
    const work: DockerBuild = {
      ...{ kind: 'dockerBuild', dockerFile: 'Dockerfile', noCache: false, isPushEnabled: true },
      ...{ imageNames: ['app:{{.Run.ID}}'], arguments: [{ name: 'A', value: '{{.Run.OS}}', isSecret: false }] },
    };
    const run = {
      ...{ ID: 'ca1', Registry: 'r.example', RegistryName: 'r', Date: '', OS: 'linux', Architecture: 'amd64' },
      ...{ Commit: '', Branch: '', Repository: '', GitTag: '', TriggeredBy: '', TaskName: '' },
    };
    const platforms: readonly RunPlatform[] = [{ os: 'linux', architecture: 'amd64' }];
    const task = await parseApart('quickBuild', { work, run, platforms, now: new Date(0) }, { cell: {}, signal });
    assert.deepEqual(
      task.steps.map(({ id }) => id),
      ['build', 'push'],
    );
    assert.deepEqual(task.steps[1]?.work, { kind: 'push', images: ['app:ca1'] });
    const [step] = task.steps;
    assert.ok(step?.work.kind === 'build');
    assert.deepEqual(step.work.options.arguments, new Map([['A', 'linux']]));
  });
  test('what is wrong with it is said in the same words', async () => {
    const parsed = parseApart('dockerfile', dockerfile('RUN echo\n'), { cell: {}, signal });
    await assert.rejects(parsed, (error: Error) => error instanceof TaskError && /it has no FROM/.test(error.message));
  });
  test('a task that stands for too much is refused', async () => {
    const text = `env: ["A=${'x'.repeat(200_000)}"]\nsteps:\n${'  - cmd: x\n'.repeat(100)}`;
    const input = { text, valuesText: undefined, values: [], run: {}, secrets: {}, now: new Date(0) };
    const parsed = parseApart('task', { ...input, aliasSources: new Map() }, { cell: {}, signal });
    await assert.rejects(parsed, (error: Error) => error instanceof TaskError && /8 MiB/.test(error.message));
  });
  const ofTask = (text: string, valuesText?: string) => ({
    ...{ text, valuesText, values: [], run: {}, secrets: {}, now: new Date(0), aliasSources: new Map() },
  });
  for (const [label, text, valuesText] of [
    ['values that hold themselves', 'steps:\n  - cmd: x {{.ValuesJSON}}\n', 'a: &a {b: *a}\n'],
    ['half a character', 'steps:\n  - cmd: x {{ substr 0 1 "\u{1F600}" | urlquery }}\n', undefined],
  ] as const) {
    test(`a text that leads nowhere is the doing of whoever wrote it: ${label}`, async () => {
      await assert.rejects(parseApart('task', ofTask(text, valuesText), { cell: {}, signal }), (error: Error) => {
        assert.ok(error instanceof TaskError, error.message);
        assert.doesNotMatch(error.message, /\n| at /);
        return true;
      });
    });
  }
  test('one that the run leaves little of a processor has more time', async () => {
    const program = join(folder.path, 'slow.mjs');
    const source = 'setTimeout(() => { process.stderr.write("done"); process.exitCode = 65; }, 1_500);';
    writeFileSync(program, source);
    const parsed = parseApart('aliasSources', '', {
      ...{ cell: {}, signal, program },
      limits: { seconds: 1, memoryMiB: 64 },
    });
    await assert.rejects(parsed, (error: Error) => error instanceof TaskError && error.message === 'done');
  });
  test('one that was started before there is a text waits for it, and its time begins then', async () => {
    const program = join(folder.path, 'waiting.mjs');
    writeFileSync(
      program,
      `const began = performance.now();
      process.stdin.once('data', () => {
        process.stderr.write(String(Math.round(performance.now() - began)));
        process.exit(65);
      });`,
    );
    const parse = startParser('aliasSources', { cell: {}, signal, program });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const parsed = parseWith('aliasSources', '', parse, signal);
    await assert.rejects(parsed, (error: Error) => error instanceof TaskError && Number(error.message) > 500);
    const images = startParser('dockerfile', { cell: {}, signal });
    const found = await parseWith('dockerfile', dockerfile('FROM debian\n'), images, signal);
    assert.deepEqual(found, { runtime: 'debian', buildtime: [] });
  });
  test('one that nobody gives a text ends with its run', async () => {
    const stopper = new AbortController();
    const waiting = { cell: { besideTurns: new Turns(1) }, signal: stopper.signal };
    const parse = startParser('dockerfile', waiting);
    stopper.abort(new Error('the run has ended'));
    const parsed = parseWith('dockerfile', dockerfile('FROM debian\n'), parse, signal);
    await assert.rejects(parsed, /the run has ended/);
    assert.equal(await waiting.cell.besideTurns.take(async () => 'free'), 'free');
  });
  test('a run has few of them at a time', async () => {
    const program = join(folder.path, 'counted.mjs');
    const places = join(folder.path, 'places');
    mkdirSync(places);
    writeFileSync(
      program,
      `import { readdirSync, rmSync, writeFileSync } from 'node:fs';
      const own = ${JSON.stringify(`${places}/`)} + process.pid;
      writeFileSync(own, '');
      setTimeout(() => {
        const count = readdirSync(${JSON.stringify(places)}).length;
        rmSync(own);
        process.stderr.write(String(count));
        process.exitCode = 65;
      }, 100);`,
    );
    const cell = { besideTurns: new Turns(2) };
    const counts = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const parsed = parseApart('aliasSources', '', { cell, signal, program });
        return Number(await parsed.then(String, (error: Error) => error.message));
      }),
    );
    assert.ok(
      counts.every((count) => count === 1 || count === 2),
      counts.join(),
    );
  });

  const programs = {
    'takes minutes': 'for (;;);',
    'takes gibibytes of objects': 'const all = []; for (let at = 0; ; at += 1) all.push({ at });',
    'takes gibibytes by the way that ends a thread with its process':
      'const all = new Map(); for (let at = 0; ; at += 1) all.set(at, at);',
  };
  for (const [label, source] of Object.entries(programs)) {
    test(`one that ${label} ends its own run, and nothing here waits for it`, async () => {
      const program = join(folder.path, 'parser.mjs');
      writeFileSync(program, source);
      let longestMs = 0;
      let lastMs = performance.now();
      const ticks = setInterval(() => {
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }, 10);
      const parsed = parseApart('dockerfile', dockerfile('FROM debian\n'), { cell: {}, signal, limits, program });
      await assert.rejects(parsed, (error: Error) => {
        assert.ok(error instanceof RunFailure);
        assert.match(error.message, /^the Dockerfile cannot be read within (?:2 seconds|64 MiB of memory)/);
        return true;
      });
      clearInterval(ticks);
      assert.ok(longestMs < 1_500, `the loop stood still for ${longestMs} ms`);
    });
  }
  test('a step whose time is over does not wait for the turns of others', async () => {
    const cell = { besideTurns: new Turns(1) };
    const { promise: end, resolve } = Promise.withResolvers<void>();
    const other = cell.besideTurns.take(() => end);
    const stopped = parseApart('aliasSources', '', { cell, signal: AbortSignal.timeout(50) });
    await assert.rejects(stopped, { name: 'TimeoutError' });
    resolve();
    await other;
  });
  test('a run that is canceled does not wait', async () => {
    const program = join(folder.path, 'endless.mjs');
    writeFileSync(program, 'for (;;);');
    const stopper = new AbortController();
    setTimeout(() => stopper.abort(new Error('canceled')), 100);
    const parsed = parseApart('aliasSources', '', { cell: {}, signal: stopper.signal, program });
    await assert.rejects(parsed, /canceled/);
  });
});
