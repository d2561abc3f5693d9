import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { createLog, type LogFormat } from './log.ts';
import { Secret } from './secret.ts';

function memoryLog(format: LogFormat = 'json') {
  const lines: string[] = [];
  const sink = { write: (line: string) => lines.push(line), dropped: () => 0 };
  return { lines, log: createLog({ sink, format, level: 'info' }) };
}

test('a line is one JSON object with level, time, fixed message and fields', () => {
  const { lines, log } = memoryLog();
  log.with({ correlationId: 'c1' }).info('blob stored', { sizeBytes: 3 });
  log.debug('not shown');
  assert.equal(lines.length, 1);
  const { time, ...rest } = JSON.parse(lines[0] ?? '');
  assert.deepEqual(rest, { level: 'info', msg: 'blob stored', correlationId: 'c1', sizeBytes: 3 });
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
});

test('an error is logged with its causes', () => {
  const { lines, log } = memoryLog();
  log.error('push failed', { error: new Error('outer', { cause: new Error('inner') }) });
  const { error } = JSON.parse(lines[0] ?? '');
  assert.equal(error.message, 'outer');
  assert.equal(error.cause.message, 'inner');
});

for (const format of ['json', 'pretty'] as const) {
  test(`text from outside cannot start a line or move the cursor (${format})`, () => {
    const { lines, log } = memoryLog(format);
    log.info('request', { userAgent: 'a\r\nINFO forged\u001b[2J' });
    const line = lines.join('');
    assert.equal(line.includes('\r'), false);
    assert.equal(line.includes('\nINFO'), false);
    assert.equal(line.includes('\u001b[2J'), false);
  });
}

test('a secret prints as ***, whatever prints it', () => {
  const secret = new Secret('canary');
  const { lines, log } = memoryLog();
  log.info('signed in', { password: secret, nested: { secrets: [secret] } });
  for (const text of [...lines, `${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret)]) {
    assert.ok(text.includes('***'), text);
    assert.ok(!text.includes('canary'), text);
  }
  assert.equal(secret.reveal(), 'canary');
});

/** Logs 5,000 lines of a kilobyte to its standard output, counting on standard error how many were dropped and whether time went on. */
const talker = `
  import { createLineSink } from ${JSON.stringify(import.meta.resolve('./line-sink.ts'))};
  import { createLog } from ${JSON.stringify(import.meta.resolve('./log.ts'))};
  const sink = createLineSink(process.stdout);
  const log = createLog({ sink, format: 'json', level: 'info' });
  let ticks = 0;
  const timer = setInterval(() => {
    for (let line = 0; line < 100; line += 1) log.info('busy', { text: 'x'.repeat(1000) });
    ticks += 1;
    if (ticks < 50) return;
    clearInterval(timer);
    process.stderr.write(JSON.stringify({ ticks, dropped: sink.dropped() }), () => process.exit(0));
  }, 2);`;

async function talk(stdout: 'pipe' | number, onStart: (child: ReturnType<typeof spawn>) => void) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', talker], {
    stdio: ['ignore', stdout, 'pipe'],
  });
  let report = '';
  child.stderr?.on('data', (chunk) => {
    report += chunk;
  });
  onStart(child);
  const code = await new Promise((resolve) => child.on('exit', resolve));
  assert.equal(code, 0);
  return JSON.parse(report);
}

test('F-32: a log reader that is killed costs lines, not the service', async () => {
  const { ticks, dropped } = await talk('pipe', (child) => child.stdout?.once('data', () => child.stdout?.destroy()));
  assert.equal(ticks, 50);
  assert.ok(dropped > 1000, `${dropped} dropped`);
});

test('F-32: a log reader that stalls costs lines, not the service, and memory stays bounded', async () => {
  const { ticks, dropped } = await talk('pipe', (child) => child.stdout?.pause());
  assert.equal(ticks, 50);
  assert.ok(dropped > 1000, `${dropped} dropped`);
});

test('F-32: a full log disk costs lines, not the service', async () => {
  const { ticks, dropped } = await talk(openSync('/dev/full', 'w'), () => {});
  assert.deepEqual({ ticks, dropped }, { ticks: 50, dropped: 5000 });
});
