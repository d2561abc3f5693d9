import { relative, resolve } from 'node:path';
import type { EventData, TestsStream } from 'node:test';
import { inspect } from 'node:util';

export type Tally = { readonly passed: number; readonly failed: number; readonly skipped: number };

type FileReport = { passed: number; failures: string[]; printed: string[] };

/** Characters of what a failing file printed that are shown: enough for a client's output and the end of a server's log. */
const shownOutput = 12_000;

/**
 * A reporter for `node --test`: one line per file, all that a failing file says, and the tally as the last line.
 * Source: Node.js documentation, "Test reporters".
 */
// biome-ignore lint/style/noDefaultExport: node --test takes a reporter from a module's default export.
export default async function* report(events: TestsStream): AsyncGenerator<string> {
  const reports = new Map<string, FileReport>();
  for await (const event of events) {
    switch (event.type) {
      case 'test:stdout':
      case 'test:stderr':
        reportOf(reports, event.data.file).printed.push(event.data.message);
        break;
      case 'test:pass':
        if (event.data.details.type === 'suite') break;
        if (event.data.skip === undefined) reportOf(reports, event.data.file).passed += 1;
        else yield `   - ${event.data.name}: skipped, ${event.data.skip}\n`;
        break;
      case 'test:fail':
        if (!failedBelow(event.data)) reportOf(reports, event.data.file).failures.push(failureText(event.data));
        break;
      case 'test:summary':
        if (event.data.file !== undefined) yield takeReport(reports, event.data.file, event.data.duration_ms);
        else yield restOf(reports) + tallyLine(event.data);
        break;
    }
  }
}

function reportOf(reports: Map<string, FileReport>, file: string | undefined): FileReport {
  const key = resolve(file ?? '');
  const known = reports.get(key) ?? { passed: 0, failures: [], printed: [] };
  reports.set(key, known);
  return known;
}

function takeReport(reports: Map<string, FileReport>, file: string, ms: number): string {
  const known = reportOf(reports, file);
  reports.delete(resolve(file));
  const head = `${relative('.', file)}: ${known.passed} passed in ${(ms / 1000).toFixed(1)} s\n`;
  return known.failures.length === 0 ? `   ✔ ${head}` : `   ✖ ${head}${failuresOf(known)}`;
}

/** What files left that ended without a summary: they could not be loaded, or were stopped. */
function restOf(reports: Map<string, FileReport>): string {
  return [...reports]
    .filter(([, { failures }]) => failures.length > 0)
    .map(([file, known]) => `   ✖ ${relative('.', file)}\n${failuresOf(known)}`)
    .join('');
}

function failuresOf({ failures, printed }: FileReport): string {
  const output = printed.join('').slice(-shownOutput);
  return `${failures.join('')}${output === '' ? '' : `     what it printed last:\n${output}\n`}`;
}

function failureText({ name, details: { error } }: EventData.TestFail): string {
  return `     ✖ ${name}\n${inspect(error.cause ?? error)}\n`;
}

/** A suite or file is reported as failed once more when something in it did. */
function failedBelow({ details: { error } }: EventData.TestFail): boolean {
  return 'failureType' in error && error.failureType === 'subtestsFailed';
}

function tallyLine({ counts, success }: EventData.TestSummary): string {
  const failed = counts.tests - counts.passed - counts.skipped;
  return `   ${counts.passed} passed, ${success ? failed : Math.max(failed, 1)} failed, ${counts.skipped} skipped\n`;
}

/** The tally that a run printed last; undefined when it was stopped before. */
export function readTally(output: string): Tally | undefined {
  const counts = output.trimEnd().match(/(\d+) passed, (\d+) failed, (\d+) skipped$/);
  if (counts === null) return undefined;
  const [passed = 0, failed = 0, skipped = 0] = counts.slice(1).map(Number);
  return { passed, failed, skipped };
}
