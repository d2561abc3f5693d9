import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BerthServer } from '../support/berth-server.ts';
import { goTool } from '../support/go-tools.ts';
import { tryRun } from '../support/run.ts';

/** Checks of a full run at the pinned version. */
const leastChecks = 1_032;

export type ConformanceResult = {
  /** The program's own count of its checks by verdict: Disabled, Skip, Pass, FAIL, Error, Total. */
  readonly counts: ReadonlyMap<string, number>;
  /** The steps that did not pass, each `name: verdict`; one step can stand for several checks. */
  readonly notPassed: readonly string[];
  /** What the program printed: its counts per API and kind of data. */
  readonly summary: string;
};

/**
 * Runs the OCI distribution-spec conformance program, unmodified, at version dev with every kind of content on, sparse
 * manifests too (which the server must allow by its setting). Writes report.html, results.yaml and junit.xml to `results`.
 * Source: https://github.com/opencontainers/distribution-spec/tree/main/conformance
 */
export async function runOfficialProgram(server: BerthServer, results: string): Promise<ConformanceResult> {
  mkdirSync(results, { recursive: true });
  const { output } = await tryRun(await goTool('conformance'), [], {
    cwd: results,
    env: {
      OCI_REGISTRY: `localhost:${server.ports.http}`,
      OCI_TLS: 'disabled',
      OCI_VERSION: 'dev',
      OCI_DATA_SPARSE: 'true',
      OCI_RESULTS_DIR: results,
      OCI_USERNAME: server.admin.username,
      OCI_PASSWORD: server.admin.password,
    },
  });
  return {
    counts: countsOf(output),
    notPassed: stepsNotPassed(join(results, 'junit.xml')),
    summary: summaryOf(output),
  };
}

function stepsNotPassed(file: string): string[] {
  const steps = readFileSync(file, 'utf8').matchAll(/<testcase name="([^"]*)"[^>]* status="([^"]*)"/g);
  return [...steps].filter(([, , status]) => status !== 'passed').map(([, name, status]) => `${name}: ${status}`);
}

/** Source: the lines below "OCI Conformance Result:" that the program prints, such as `  Pass.......:       1032`. */
function countsOf(output: string): Map<string, number> {
  const lines = summaryOf(output).matchAll(/^ {2}(Disabled|Skip|Pass|FAIL|Error|Total)\.+: +(\d+)$/gm);
  return new Map([...lines].map(([, verdict = '', count]) => [verdict, Number(count)]));
}

function summaryOf(output: string): string {
  const start = output.indexOf('OCI Conformance Result:');
  return start < 0 ? output : output.slice(start).trim();
}

/** `1032 Pass, 0 Skip, …`: how often each verdict was given. */
export function verdicts({ counts }: ConformanceResult): string {
  return [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(', ');
}

/** Whether every check of a complete run passed: a run that ended early has fewer, and must not look like a good one. */
export function isComplete({ counts }: ConformanceResult): boolean {
  const total = counts.get('Total') ?? 0;
  return total >= leastChecks && counts.get('Pass') === total;
}
